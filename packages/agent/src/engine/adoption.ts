/**
 * An existing container as the engine describes it → the request that makes the same one again. Pure. Nothing is translated: the
 * engine's own document goes back to it, without what belongs to that one instance and with what makes it Relight's.
 */
import { isSecretName } from '../config/secret-names.ts';
import type { CreateOptions } from './create-options.ts';

/** The engine's inspect document, as far as it is looked into. The rest goes back as it came. */
export interface AdoptedDocument {
  readonly Id: string;
  readonly Name: string;
  readonly Image?: string;
  readonly Config: {
    readonly Image?: string;
    readonly Hostname?: string;
    readonly Env?: readonly string[] | null;
    readonly Labels?: Readonly<Record<string, string>> | null;
    readonly [field: string]: unknown;
  };
  readonly HostConfig: {
    readonly AutoRemove?: boolean;
    readonly Binds?: readonly string[] | null;
    readonly Links?: readonly string[] | null;
    readonly LogConfig?: { readonly Type?: string; readonly Config?: Readonly<Record<string, string>> | null };
    readonly Mounts?: readonly DocumentMount[] | null;
    readonly NetworkMode?: string;
    readonly RestartPolicy?: { readonly Name?: string };
    readonly [field: string]: unknown;
  };
  /** What is really mounted, anonymous volumes with their names. */
  readonly Mounts?: readonly {
    readonly Type?: string;
    readonly Name?: string;
    readonly Destination?: string;
    readonly RW?: boolean;
  }[];
  readonly NetworkSettings?: { readonly Networks?: Readonly<Record<string, DocumentEndpoint | null>> | null };
}
interface DocumentMount {
  readonly Type?: string;
  readonly Source?: string;
  readonly Target?: string;
  readonly [field: string]: unknown;
}
interface DocumentEndpoint {
  readonly Aliases?: readonly string[] | null;
  readonly IPAMConfig?: unknown;
  readonly Links?: unknown;
  readonly DriverOpts?: unknown;
}

export interface AdoptionRefusal {
  readonly why: string;
  readonly advice: string;
}

/** Null: it can be adopted. */
export function adoptionRefusal(document: AdoptedDocument): AdoptionRefusal | null {
  const name = document.Name.replace(/^\//, '');
  const labels = document.Config.Labels ?? {};
  if (document.HostConfig.AutoRemove === true) {
    return {
      why: `the container ${name} was started with --rm: the engine deletes it when it ends, so nothing can be set aside and looked at`,
      advice: `Write its settings down (relight-agent import container ${name}), use them instead of adopt:, and remove it: docker rm -f ${name}. Made by ray up: relight-agent import ray CLUSTER.yaml.`,
    };
  }
  const orchestrator =
    labels['com.docker.swarm.task.id'] === undefined
      ? labels['io.kubernetes.pod.name'] === undefined
        ? null
        : 'Kubernetes'
      : 'Docker Swarm';
  if (orchestrator !== null) {
    return {
      why: `the container ${name} belongs to ${orchestrator}, which replaces it by itself`,
      advice: `Let ${orchestrator} keep it, or take it out of there first.`,
    };
  }
  return null;
}

export interface AdoptedInput {
  readonly document: AdoptedDocument;
  /** Relight's labels. */
  readonly labels: Readonly<Record<string, string>>;
  readonly runDirectory: string;
  readonly runDirectoryTarget: string;
}

/** 3 × 64 MiB, where the container had one file without limit. */
const boundedLog = { Type: 'json-file', Config: { 'max-size': '64m', 'max-file': '3' } };

export function adoptedCreateOptions({ document, labels, runDirectory, runDirectoryTarget }: AdoptedInput): CreateOptions {
  const { Config, HostConfig } = document;
  const { Hostname, MacAddress: _mac, ...config } = Config;
  const { ContainerIDFile: _file, ...host } = HostConfig;
  const hostNetwork = HostConfig.NetworkMode === 'host';
  const ownHostname = Hostname !== undefined && Hostname !== '' && !hostNetwork && !document.Id.startsWith(Hostname);
  const run = { Type: 'bind', Source: runDirectory, Target: runDirectoryTarget, ReadOnly: false };
  const body = {
    ...config,
    ...(ownHostname ? { Hostname } : {}),
    Labels: { ...keptLabels(Config.Labels ?? {}), ...labels },
    HostConfig: {
      ...host,
      AutoRemove: false,
      RestartPolicy: { Name: 'no' },
      LogConfig: isUnbounded(HostConfig.LogConfig) ? boundedLog : HostConfig.LogConfig,
      Mounts: [...givenMounts(document), ...anonymousVolumes(document), run],
      ...(HostConfig.Links === undefined || HostConfig.Links === null ? {} : { Links: HostConfig.Links.map(link) }),
    },
    ...networks(document),
  };
  return body as unknown as CreateOptions;
}

const isUnbounded = (log: AdoptedDocument['HostConfig']['LogConfig']): boolean =>
  log === undefined ||
  ((log.Type === 'json-file' || log.Type === '' || log.Type === undefined) && Object.keys(log.Config ?? {}).length === 0);

/** Compose would take a container with its labels for its own, and replace or remove it. */
function keptLabels(labels: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(labels).filter(([key]) => !/^(relight|com\.docker\.compose)\./.test(key)));
}

/** A volume without a name got one: its content is in that one. */
function givenMounts({ HostConfig, Mounts = [] }: AdoptedDocument): readonly DocumentMount[] {
  return (HostConfig.Mounts ?? []).map((mount) => {
    if (mount.Type !== 'volume' || (mount.Source !== undefined && mount.Source !== '')) return mount;
    const name = Mounts.find(({ Destination }) => Destination === mount.Target)?.Name;
    return name === undefined ? mount : { ...mount, Source: name };
  });
}

/** Of the image's VOLUME, and `-v /path`. */
function anonymousVolumes({ HostConfig, Mounts = [] }: AdoptedDocument): readonly object[] {
  const given = new Set([
    ...(HostConfig.Binds ?? []).map((bind) => bind.split(':')[1]),
    ...(HostConfig.Mounts ?? []).map(({ Target }) => Target),
  ]);
  const fromOthers = Array.isArray(HostConfig['VolumesFrom']) && HostConfig['VolumesFrom'].length > 0;
  if (fromOthers) return [];
  return Mounts.filter(({ Type, Name, Destination }) => Type === 'volume' && Name !== undefined && !given.has(Destination)).map(
    ({ Name, Destination, RW }) => ({ Type: 'volume', Source: Name, Target: Destination, ReadOnly: RW === false }),
  );
}

/** `/db:/app/alias` as it is shown, `db:alias` as it is given. */
const link = (shown: string): string => {
  const [source = '', target = ''] = shown.split(':');
  return `${source.replace(/^\//, '')}:${target.split('/').at(-1) ?? ''}`;
};

function networks({ Id, Name, HostConfig, NetworkSettings }: AdoptedDocument): object {
  const builtIn = /^(default|bridge|host|none|container:.*)$/;
  const endpoints = Object.entries(NetworkSettings?.Networks ?? {})
    .filter(([network]) => !builtIn.test(network) && HostConfig.NetworkMode?.startsWith('container:') !== true)
    .map(([network, endpoint]) => {
      // The engine adds the short id by itself.
      const aliases = (endpoint?.Aliases ?? []).filter((alias) => !Id.startsWith(alias) && alias !== Name.replace(/^\//, ''));
      const kept = Object.entries({ IPAMConfig: endpoint?.IPAMConfig, Links: endpoint?.Links, DriverOpts: endpoint?.DriverOpts });
      return [
        network,
        {
          ...(aliases.length > 0 ? { Aliases: aliases } : {}),
          ...Object.fromEntries(kept.filter(([, value]) => value !== null && value !== undefined)),
        },
      ];
    });
  return endpoints.length === 0 ? {} : { NetworkingConfig: { EndpointsConfig: Object.fromEntries(endpoints) as object } };
}

/** What of its environment is secret by the variable's name: Relight never shows it. */
export function probableSecrets({ Config }: AdoptedDocument): readonly string[] {
  return (Config.Env ?? []).flatMap((pair) => {
    const split = pair.indexOf('=');
    return split > 0 && isSecretName(pair.slice(0, split)) ? [pair.slice(split + 1)] : [];
  });
}
