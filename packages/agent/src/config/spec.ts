/**
 * The validated configuration: what the YAML means, with every default filled in, every duration in milliseconds and every
 * size in bytes. Frozen. Everything else in the agent reads only this.
 *
 * A `Template` may hold `${NAME}`; it is resolved with the variables just before use, never inside text that a shell reads.
 */
export type Template = string;

/** What to execute. Text goes to a shell as ONE argument, `[...shell, text]`; argv is executed as it stands. */
export type Command = { readonly text: string } | { readonly argv: readonly string[] };

export interface AgentSpec {
  readonly file: string;
  readonly host: HostSpec;
  readonly collector: CollectorSpec | null;
  readonly stateDir: string;
  readonly control: ControlSpec;
  readonly engine: { readonly socket: string };
  readonly vars: readonly VarSpec[];
  readonly workloads: readonly WorkloadSpec[];
}

export interface HostSpec {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly remoteActions: boolean;
  readonly gate: GateSpec;
  /** Commands on the host, before any workload, once per boot. */
  readonly setup: readonly SetupStep[];
  /** The do-not-touch guard. File null: `hands-off` in the state directory. */
  readonly guard: { readonly file: string | null; readonly maxAgeMs: number };
  /** What becomes of containers of ours that no workload wants any more. They are always reported. */
  readonly orphans: 'report' | 'remove-stopped' | 'remove';
  /** How many GPUs this host has to have; null: as many as were seen since it booted. */
  readonly accelerators: { readonly gpus: number | null };
}

/** What must be so before anything is recovered on this host. */
export interface GateSpec {
  readonly quietForMs: number;
  /** Whatever is not satisfied after this is waived, with a warning. */
  readonly timeoutMs: number;
  readonly packageManagerIdle: boolean;
  readonly pendingReboot: 'wait' | 'report';
  /** HOST:PORT each. */
  readonly tcp: readonly string[];
  /** Further files on whose lock is waited, as for the package manager's. */
  readonly lockFiles: readonly string[];
}

/** Who besides the agent's own user may ask it on its host. */
export interface ControlSpec {
  /** Null: nobody. `id` null: a group that this host does not know now (its directory service is away). */
  readonly group: { readonly name: string; readonly id: number | null } | null;
}

export interface CollectorSpec {
  /** Base URL with the scheme http, https, ws or wss, no trailing slash. */
  readonly url: string;
  readonly tokenFile: string | null;
  readonly caFile: string | null;
  /** SHA-256 of the certificate or of its key that the collector must show; null: authorities are asked. */
  readonly fingerprint: string | null;
  /** Where `relight-agent join` has put token and address; null: the configuration names them. */
  readonly joinedFile: string | null;
}

export type VarSpec =
  | { readonly name: string; readonly value: string }
  | { readonly name: string; readonly run: Command; readonly timeoutMs: number };

export interface WorkloadSpec {
  readonly name: string;
  readonly dependsOn: readonly DependencySpec[];
  /** From the beginning of an attempt to ready. */
  readonly startDeadlineMs: number;
  /** Null: bash where the image has it, else sh. */
  readonly shell: readonly string[] | null;
  readonly container: ContainerSpec;
  readonly mounts: readonly MountSpec[];
  /** In order. A mount that is not named here is placed before the first step. */
  readonly setup: readonly SetupItem[];
  readonly process: ProcessSpec | null;
  readonly readyWindowMs: number;
  readonly ready: readonly CheckSpec[];
  readonly live: readonly LiveCheckSpec[];
  readonly restart: { readonly process: RestartPolicy; readonly container: RestartPolicy };
  readonly logs: LogSpec;
  /** `prepared`: a second container is kept mounted and set up, without its process. */
  readonly spare: 'prepared' | null;
}

export type DependencySpec =
  | { readonly kind: 'tcp'; readonly address: Template; readonly timeoutMs: number }
  | { readonly kind: 'http'; readonly url: Template; readonly timeoutMs: number };

/** Compose's field names, in camelCase, in one normal form each. Undefined: not given, the engine's default holds. */
export interface ContainerSpec {
  /** The container's name on the engine; default: the workload's name. */
  readonly name: string;
  readonly image: string;
  readonly pullPolicy: 'always' | 'missing' | 'never';
  /** Name of an existing container to take over; then the other fields but image, pullPolicy and onDeath say nothing. */
  readonly adopt?: string;
  /** Its id, when it was taken over (never read from the file): it is supervised as it was found. */
  readonly adoptedId?: string;
  readonly onDeath: 'recreate' | 'start';
  readonly command?: readonly string[];
  readonly entrypoint?: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Read at every create; contents never leave the host. */
  readonly envFile: readonly string[];
  readonly volumes: readonly VolumeSpec[];
  readonly tmpfs: readonly { readonly target: string; readonly options: string }[];
  readonly ports: readonly PortSpec[];
  readonly devices: readonly { readonly source: string; readonly target: string; readonly permissions: string }[];
  readonly ulimits: Readonly<Record<string, { readonly soft: number; readonly hard: number }>>;
  readonly networkMode?: string;
  /** User-defined networks to join, with aliases. Excludes networkMode. */
  readonly networks: readonly { readonly name: string; readonly aliases: readonly string[] }[];
  readonly privileged: boolean;
  readonly init: boolean;
  readonly tty: boolean;
  readonly stdinOpen: boolean;
  readonly capAdd: readonly string[];
  readonly capDrop: readonly string[];
  readonly securityOpt: readonly string[];
  readonly shmSizeBytes?: number;
  readonly memoryBytes?: number;
  readonly memoryReservationBytes?: number;
  /** Compose's memswap_limit; -1: unlimited. */
  readonly memorySwapBytes?: number;
  readonly cpus?: number;
  readonly cpusetCpus?: string;
  readonly pidsLimit?: number;
  readonly oomScoreAdj?: number;
  /** 'all', a count, or device ids. */
  readonly gpus?: 'all' | number | readonly string[];
  readonly runtime?: string;
  readonly user?: string;
  readonly groupAdd: readonly string[];
  readonly workingDir?: string;
  readonly hostname?: string;
  readonly extraHosts: readonly string[];
  readonly dns: readonly string[];
  readonly ipc?: string;
  readonly pid?: string;
  readonly cgroupns?: string;
  readonly readOnly: boolean;
  readonly stopSignal?: string;
  readonly stopGracePeriodMs?: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly sysctls: Readonly<Record<string, string>>;
  /** Null: Relight's bounded json-file (see engine/create-options.ts). */
  readonly logging: { readonly driver: string; readonly options: Readonly<Record<string, string>> } | null;
}

export interface VolumeSpec {
  readonly type: 'bind' | 'volume';
  readonly source: string;
  readonly target: string;
  readonly readOnly: boolean;
  readonly propagation?: string;
}

export interface PortSpec {
  readonly containerPort: number;
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  readonly hostIp: string;
  /** Undefined: the engine chooses. */
  readonly hostPort?: number;
}

export interface MountCheckSpec {
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** Consecutive failures before it counts as lost; a disconnected mount (ENOTCONN) counts at once. */
  readonly failures: number;
}

interface MountCommon {
  readonly name: string;
  /** Absolute path inside the container. */
  readonly target: string;
  /** For the mount to appear. */
  readonly timeoutMs: number;
  readonly check: MountCheckSpec;
}
export type MountSpec = MountCommon &
  (
    | {
        readonly type: 'gcsfuse';
        /** Empty or `_`: all buckets the credentials may see. */
        readonly bucket: Template;
        readonly onlyDir: Template | null;
        readonly implicitDirs: boolean;
        /** Further flags, each one argv element, before bucket and target. */
        readonly options: readonly string[];
      }
    | { readonly type: 'command'; readonly run: Command }
  );

export type SetupItem =
  | { readonly kind: 'mount'; readonly mount: string }
  | {
      readonly kind: 'step';
      /** Unique within the workload; default: `step N`. */
      readonly name: string;
      readonly run: Command;
      readonly optional: boolean;
      readonly timeoutMs: number;
      readonly retry: { readonly attempts: number; readonly delayMs: number };
      readonly verify: Command | null;
    };
export type SetupStep = Extract<SetupItem, { kind: 'step' }>;

export interface ProcessSpec {
  readonly run: Command;
  /** Runs before every start, to completion; its failure is a failure of the start. */
  readonly before: Command | null;
  /** Between SIGTERM and SIGKILL. */
  readonly stopTimeoutMs: number;
  /** After this it is stopped in order and not started again by itself. Null: no end. */
  readonly maxRuntimeMs: number | null;
}

export type ProbeSpec =
  | { readonly kind: 'exec'; readonly run: Command }
  | { readonly kind: 'tcp'; readonly address: Template; readonly from: 'host' | 'container' }
  | { readonly kind: 'http'; readonly url: Template; readonly from: 'host' | 'container'; readonly status: readonly number[] | null }
  /** `nodeIp` null: the address that the container has towards the dashboard. */
  | { readonly kind: 'ray-node'; readonly dashboard: Template; readonly nodeIp: Template | null }
  /** `automatic`: added by us to a container with gpus; one that cannot be asked is then no failure. */
  | { readonly kind: 'gpu'; readonly automatic: boolean }
  | VolumesProbe;

/** Do the FUSE mounts of the host behind these volumes answer? */
export interface VolumesProbe {
  readonly kind: 'volumes';
  readonly binds: readonly { readonly source: string; readonly target: string }[];
  /** Targets of the workload's own mounts, which have checks of their own. */
  readonly except: readonly string[];
}

export interface CheckSpec {
  /** For people: `tcp 10.0.0.1:6379`, unique within its list. */
  readonly name: string;
  readonly probe: ProbeSpec;
  readonly intervalMs: number;
  readonly timeoutMs: number;
}
export interface LiveCheckSpec extends CheckSpec {
  /** Consecutive failures before it acts. */
  readonly failures: number;
  /** What is restarted; `none` only degrades. */
  readonly restarts: 'process' | 'container' | 'none';
}

export interface RestartPolicy {
  readonly initialMs: number;
  readonly maxMs: number;
  readonly factor: number;
  /** In place of initial and factor: the delays one after the other, the last one again and again. */
  readonly delaysMs?: readonly number[];
  /** After every `after` failures without a stable run the delay is at least `ms`. */
  readonly cooldown?: { readonly after: number; readonly ms: number };
  /** 0.25: each delay varies by ±25 %. */
  readonly jitter: number;
  /** Healthy for this long: the count starts anew. */
  readonly resetAfterMs: number;
  readonly budget: { readonly count: number; readonly windowMs: number };
  /** Consecutive failures at this level before the next level acts. Null at the top. */
  readonly escalateAfter: number | null;
}

export interface LogSpec {
  /** Per source. */
  readonly rateLimit: { readonly lines: number; readonly windowMs: number };
  /** Absolute paths inside the container, with wildcards (logs/origins/path-pattern.ts). */
  readonly files: readonly string[];
  /** What they match is taken out of whatever leaves the host (logs/redaction/syntax.ts). */
  readonly redact: readonly string[];
}
