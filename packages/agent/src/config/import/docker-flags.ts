/** The flags of `docker run`, 20.10 to 28, and what becomes of each. */
import { reserved } from './draft.ts';

/** Short forms → names. */
export const shortFlags: Readonly<Record<string, string>> = {
  a: 'attach',
  c: 'cpu-shares',
  d: 'detach',
  e: 'env',
  h: 'hostname',
  i: 'interactive',
  l: 'label',
  m: 'memory',
  p: 'publish',
  P: 'publish-all',
  q: 'quiet',
  t: 'tty',
  u: 'user',
  v: 'volume',
  w: 'workdir',
};

/** Other spellings of one flag. */
export const synonyms: Readonly<Record<string, string>> = {
  net: 'network',
  'net-alias': 'network-alias',
  'dns-opt': 'dns-option',
  cap_add: 'cap-add',
};

/** Flags that take no value, or `=true` / `=false`. */
export const booleanFlags: ReadonlySet<string> = new Set([
  'detach',
  'disable-content-trust',
  'help',
  'init',
  'interactive',
  'no-healthcheck',
  'oom-kill-disable',
  'privileged',
  'publish-all',
  'quiet',
  'read-only',
  'rm',
  'sig-proxy',
  'tty',
  'use-api-socket',
]);

/** Flags whose Compose field takes the value as it stands. `list`: may be repeated. */
export const directFlags: Readonly<
  Record<string, { readonly field: string; readonly kind: 'text' | 'list' | 'flag' | 'number' | 'size' }>
> = {
  'add-host': { field: 'extra_hosts', kind: 'list' },
  'cap-add': { field: 'cap_add', kind: 'list' },
  'cap-drop': { field: 'cap_drop', kind: 'list' },
  cgroupns: { field: 'cgroup', kind: 'text' },
  cpus: { field: 'cpus', kind: 'number' },
  'cpuset-cpus': { field: 'cpuset', kind: 'text' },
  device: { field: 'devices', kind: 'list' },
  dns: { field: 'dns', kind: 'list' },
  'env-file': { field: 'env_file', kind: 'list' },
  'group-add': { field: 'group_add', kind: 'list' },
  hostname: { field: 'hostname', kind: 'text' },
  init: { field: 'init', kind: 'flag' },
  interactive: { field: 'stdin_open', kind: 'flag' },
  ipc: { field: 'ipc', kind: 'text' },
  memory: { field: 'mem_limit', kind: 'size' },
  'memory-reservation': { field: 'mem_reservation', kind: 'size' },
  'memory-swap': { field: 'memswap_limit', kind: 'size' },
  'oom-score-adj': { field: 'oom_score_adj', kind: 'number' },
  pid: { field: 'pid', kind: 'text' },
  'pids-limit': { field: 'pids_limit', kind: 'number' },
  privileged: { field: 'privileged', kind: 'flag' },
  pull: { field: 'pull_policy', kind: 'text' },
  'read-only': { field: 'read_only', kind: 'flag' },
  runtime: { field: 'runtime', kind: 'text' },
  'security-opt': { field: 'security_opt', kind: 'list' },
  'shm-size': { field: 'shm_size', kind: 'size' },
  'stop-signal': { field: 'stop_signal', kind: 'text' },
  tmpfs: { field: 'tmpfs', kind: 'list' },
  tty: { field: 'tty', kind: 'flag' },
  ulimit: { field: 'ulimits', kind: 'list' },
  user: { field: 'user', kind: 'text' },
  workdir: { field: 'working_dir', kind: 'text' },
};

/** Flags that docker-run.ts translates itself. */
export const translatedFlags: ReadonlySet<string> = new Set([
  'entrypoint',
  'env',
  'gpus',
  'label',
  'log-driver',
  'log-opt',
  'mount',
  'name',
  'network',
  'network-alias',
  'publish',
  'stop-timeout',
  'sysctl',
  'volume',
]);

/** Flags about the terminal of that one call: Relight loses nothing without them. */
export const silentFlags: ReadonlySet<string> = new Set(['attach', 'detach', 'detach-keys', 'quiet', 'sig-proxy', 'disable-content-trust']);

const later = 'not supported yet';
/** Everything else that docker knows, with why it is left behind. */
export const droppedFlags: Readonly<Record<string, string>> = {
  annotation: later,
  'blkio-weight': later,
  'blkio-weight-device': later,
  'cgroup-parent': later,
  cidfile: 'ask Relight for the container: relight-agent status',
  'cpu-count': 'for Windows only',
  'cpu-percent': 'for Windows only',
  'cpu-period': 'write cpus: instead',
  'cpu-quota': 'write cpus: instead',
  'cpu-rt-period': later,
  'cpu-rt-runtime': later,
  'cpu-shares': later,
  'cpuset-mems': later,
  'device-cgroup-rule': later,
  'device-read-bps': later,
  'device-read-iops': later,
  'device-write-bps': later,
  'device-write-iops': later,
  'dns-option': later,
  'dns-search': later,
  domainname: later,
  expose: 'has no effect; publish with ports:',
  'health-cmd': reserved.health,
  'health-interval': reserved.health,
  'health-retries': reserved.health,
  'health-start-interval': reserved.health,
  'health-start-period': reserved.health,
  'health-timeout': reserved.health,
  help: 'means nothing here',
  'io-maxbandwidth': 'for Windows only',
  'io-maxiops': 'for Windows only',
  ip: later,
  ip6: later,
  isolation: 'for Windows only',
  'kernel-memory': 'removed from Linux and from Docker',
  'label-file': 'write the labels under labels:',
  link: 'join a user-defined network with networks:',
  'link-local-ip': later,
  'mac-address': later,
  'memory-swappiness': later,
  'no-healthcheck': 'the health check of an image has no say in what Relight does',
  'oom-kill-disable': later,
  platform: later,
  'publish-all': 'name the ports under ports:',
  restart: reserved.restart,
  rm: reserved.remove,
  'storage-opt': later,
  'use-api-socket': 'bind the socket with volumes:',
  userns: later,
  uts: later,
  'volume-driver': 'create the volume with that driver and name it in volumes:',
  'volumes-from': 'write the volumes under volumes:',
};
