/** An existing container → a configuration, from the engine's own inspect document. What the image says itself is not repeated. */
import { runDirectoryTarget } from '../../stages/runs.ts';
import { reserved, sizeText, toYaml, workloadName, type ContainerDraft, type Imported } from './draft.ts';
import { splitEnvironment, type InspectConfig, type InspectDocument, type InspectHost } from './inspect.ts';

/** @param image the image's inspect document; without it everything that the image sets is repeated, which does no harm */
export function importContainer(container: Readonly<Record<string, unknown>>, image: Readonly<Record<string, unknown>> | null): Imported {
  const { Name = '', Config: config = {}, HostConfig: host = {}, NetworkSettings: network } = container as InspectDocument;
  const base = (image as InspectDocument | null)?.Config ?? {};
  const name = Name.replace(/^\//, '');
  const lost: string[] = [];
  const draft: ContainerDraft = {
    name,
    image: config.Image,
    ...fromConfig(config, base, host, lost),
    ...isolation(host),
    ...limits(host),
    ...networking(host, network, name, lost),
    volumes: volumes(host, lost),
    tmpfs: Object.entries(host.Tmpfs ?? {}).map(([target, options]) => (options === '' ? target : `${target}:${options}`)),
    devices: host.Devices?.map((device) => `${device.PathOnHost}:${device.PathInContainer}:${device.CgroupPermissions}`),
    gpus: gpus(host, lost),
    logging: logging(host),
  };
  lost.push(...leftBehind(config, host));
  return { yaml: toYaml(workloadName(name), draft), notCarriedOver: lost };
}

function fromConfig(config: InspectConfig, base: InspectConfig, host: InspectHost, lost: string[]): ContainerDraft {
  const same = (a: unknown, b: unknown): boolean => JSON.stringify(a ?? null) === JSON.stringify(b ?? null);
  const inherited = new Set(base.Env);
  const labels = Object.entries(config.Labels ?? {}).filter(([key, value]) => base.Labels?.[key] !== value);
  const kept = labels.filter(([key]) => !/^(relight\.|com\.docker\.compose\.)/.test(key));
  if (kept.length < labels.length) lost.push('labels of Relight and of Docker Compose: their owners set them anew');
  const ownEntrypoint = !same(config.Entrypoint, base.Entrypoint);
  return {
    entrypoint: ownEntrypoint ? (config.Entrypoint ?? '') : undefined,
    // An entry point of one's own drops the image's command, so then the command has to be said again.
    command: ownEntrypoint || !same(config.Cmd, base.Cmd) ? (config.Cmd ?? undefined) : undefined,
    environment: splitEnvironment(config.Env?.filter((entry) => !inherited.has(entry)) ?? [], lost),
    labels: Object.fromEntries(kept),
    user: differs(config.User, base.User),
    working_dir: differs(config.WorkingDir, base.WorkingDir),
    stop_signal: differs(config.StopSignal, base.StopSignal),
    stop_grace_period: config.StopTimeout === undefined || config.StopTimeout === null ? undefined : `${config.StopTimeout}s`,
    hostname: givenHostname(config, host),
    tty: config.Tty === true ? true : undefined,
    stdin_open: config.OpenStdin === true ? true : undefined,
  };
}

const differs = (value: string | undefined, base: string | undefined): string | undefined =>
  value === undefined || value === '' || value === base ? undefined : value;

/** The engine invents one from the container's id; with the host's network it is the host's. */
function givenHostname(config: InspectConfig, host: InspectHost): string | undefined {
  const invented = config.Hostname === undefined || config.Hostname === '' || /^[0-9a-f]{12}$/.test(config.Hostname);
  return invented || host.NetworkMode === 'host' ? undefined : config.Hostname;
}

function isolation(host: InspectHost): ContainerDraft {
  // `--privileged` and the host's namespaces make the engine add this label option by itself.
  const security = host.SecurityOpt?.filter((option) => option !== 'label=disable');
  const unmasked = host.Privileged !== true && host.MaskedPaths?.length === 0 && host.ReadonlyPaths?.length === 0;
  return {
    privileged: host.Privileged === true ? true : undefined,
    init: host.Init === true ? true : undefined,
    read_only: host.ReadonlyRootfs === true ? true : undefined,
    cap_add: host.CapAdd,
    cap_drop: host.CapDrop,
    security_opt: [...(security ?? []), ...(unmasked && !security?.includes('systempaths=unconfined') ? ['systempaths=unconfined'] : [])],
    ipc: host.IpcMode === 'private' || host.IpcMode === '' ? undefined : host.IpcMode,
    pid: host.PidMode === '' ? undefined : host.PidMode,
    cgroup: host.CgroupnsMode === '' ? undefined : host.CgroupnsMode,
    runtime: host.Runtime === 'runc' || host.Runtime === '' ? undefined : host.Runtime,
    group_add: host.GroupAdd,
    sysctls: host.Sysctls ?? undefined,
    ulimits: Object.fromEntries((host.Ulimits ?? []).map(({ Name, Soft, Hard }) => [Name, { soft: Soft, hard: Hard }])),
  };
}

function limits(host: InspectHost): ContainerDraft {
  const size = (bytes: number | null | undefined): string | undefined =>
    bytes === undefined || bytes === null || bytes <= 0 ? undefined : sizeText(bytes);
  const memory = host.Memory ?? 0;
  // Twice the memory is what the engine fills in when nothing was said.
  const swap = host.MemorySwap === -1 && memory > 0 ? -1 : host.MemorySwap === 2 * memory ? undefined : size(host.MemorySwap);
  const engineShm = 64 * 1024 ** 2;
  return {
    shm_size: host.ShmSize === engineShm ? undefined : size(host.ShmSize),
    mem_limit: size(memory),
    mem_reservation: size(host.MemoryReservation),
    memswap_limit: swap,
    cpus: host.NanoCpus === undefined || host.NanoCpus === 0 ? undefined : host.NanoCpus / 1e9,
    cpuset: host.CpusetCpus === '' ? undefined : host.CpusetCpus,
    pids_limit: host.PidsLimit === null || host.PidsLimit === 0 ? undefined : host.PidsLimit,
    oom_score_adj: host.OomScoreAdj === 0 ? undefined : host.OomScoreAdj,
  };
}

function networking(host: InspectHost, settings: InspectDocument['NetworkSettings'], name: string, lost: string[]): ContainerDraft {
  const mode = host.NetworkMode ?? 'default';
  const builtIn = /^(default|bridge|host|none|container:.*)$/.test(mode);
  const networks = Object.entries(settings?.Networks ?? {}).map(([network, endpoint]) => {
    // The engine adds the short id, and Compose the service's name.
    const aliases = (endpoint.Aliases ?? []).filter((alias) => !/^[0-9a-f]{12}$/.test(alias) && alias !== name);
    return [network, aliases.length > 0 ? { aliases } : null] as const;
  });
  const ports = Object.entries(host.PortBindings ?? {}).flatMap(([key, bindings]) =>
    (bindings ?? []).map(({ HostIp = '', HostPort = '' }) => {
      const address = HostIp === '' || HostIp === '0.0.0.0' ? '' : `${HostIp.includes(':') ? `[${HostIp}]` : HostIp}:`;
      return `${address}${HostPort === '' && address === '' ? '' : `${HostPort}:`}${key}`;
    }),
  );
  if (mode === 'host' && ports.length > 0) lost.push('published ports: they have no effect with the network of the host');
  return {
    network_mode: builtIn && mode !== 'default' ? mode : undefined,
    networks: builtIn ? undefined : Object.fromEntries(networks.length > 0 ? networks : [[mode, null]]),
    ports: mode === 'host' ? undefined : ports,
    dns: host.Dns,
    extra_hosts: host.ExtraHosts,
  };
}

function volumes(host: InspectHost, lost: string[]): readonly unknown[] {
  // Of a container that Relight manages already: its run directory is made anew for every generation.
  const own = (target: string | undefined): boolean => target === runDirectoryTarget;
  const binds = (host.Binds ?? [])
    .filter((bind) => !own(bind.split(':')[1]))
    .map((bind) => {
      const [source, target, mode = ''] = bind.split(':');
      const options = mode.split(',').filter((option) => option !== '' && option !== 'rw');
      const unsupported = options.filter((option) => ['z', 'Z', 'nocopy'].includes(option));
      for (const option of unsupported) lost.push(`volume ${bind}: the option ${option} is not supported yet`);
      const kept = options.filter((option) => !unsupported.includes(option));
      return [source, target, ...(kept.length > 0 ? [kept.join(',')] : [])].join(':');
    });
  const mounts = (host.Mounts ?? [])
    .filter((mount) => !own(mount.Target))
    .flatMap((mount) => {
      if ((mount.Type !== 'bind' && mount.Type !== 'volume') || mount.Source === undefined || mount.Source === '') {
        lost.push(
          `mount ${mount.Target}: ${mount.Type === 'volume' ? 'an anonymous volume cannot be found again' : `the type ${mount.Type} is not supported yet`}`,
        );
        return [];
      }
      const propagation = mount.BindOptions?.Propagation;
      return [
        {
          type: mount.Type,
          source: mount.Source,
          target: mount.Target,
          ...(mount.ReadOnly === true ? { read_only: true } : {}),
          ...(propagation === undefined || propagation === '' ? {} : { bind: { propagation } }),
        },
      ];
    });
  return [...binds, ...mounts];
}

function gpus(host: InspectHost, lost: string[]): unknown {
  const [request, ...more] = (host.DeviceRequests ?? []).filter((item) => item.Capabilities?.flat().includes('gpu'));
  if (more.length > 0) lost.push('all GPU requests but the first: not supported yet');
  if (request === undefined) return undefined;
  if (request.DeviceIDs !== undefined && request.DeviceIDs !== null && request.DeviceIDs.length > 0) return request.DeviceIDs;
  return request.Count === undefined || request.Count <= 0 ? 'all' : request.Count;
}

/** json-file without options is the engine's default, a file without limit; Relight's bounded one takes its place. */
function logging(host: InspectHost): unknown {
  const { Type, Config } = host.LogConfig ?? {};
  if (Type === undefined || Type === '' || (Type === 'json-file' && Object.keys(Config ?? {}).length === 0)) return undefined;
  return { driver: Type, ...(Object.keys(Config ?? {}).length > 0 ? { options: Config } : {}) };
}

function leftBehind(config: InspectConfig, host: InspectHost): readonly string[] {
  const policy = host.RestartPolicy?.Name ?? '';
  const rows: readonly (readonly [boolean, string])[] = [
    [host.AutoRemove === true, `--rm: ${reserved.remove}`],
    [policy !== '' && policy !== 'no', `restart policy ${policy}: ${reserved.restart}`],
    [config.Healthcheck?.Test !== undefined && config.Healthcheck.Test[0] !== 'NONE', `health check: ${reserved.health}`],
    [(host.Links ?? []).length > 0, 'links: join a user-defined network with networks:'],
    [(host.VolumesFrom ?? []).length > 0, 'volumes from other containers: write them under volumes:'],
    [(host.UsernsMode ?? '') !== '', 'user namespace mode: not supported yet'],
    [(host.UTSMode ?? '') !== '', 'UTS mode: not supported yet'],
    [(host.DnsSearch ?? []).length + (host.DnsOptions ?? []).length > 0, 'dns search domains and options: not supported yet'],
    [(host.CpuShares ?? 0) > 0, 'cpu shares: not supported yet'],
    [(host.CpuQuota ?? 0) > 0, 'cpu quota: write cpus: instead'],
    [(host.CgroupParent ?? '') !== '', 'cgroup parent: not supported yet'],
    [(host.DeviceCgroupRules ?? []).length > 0, 'device cgroup rules: not supported yet'],
    [host.PublishAllPorts === true, 'published exposed ports: name the ports under ports:'],
  ];
  return rows.filter(([isSo]) => isSo).map(([, text]) => text);
}
