/**
 * The container engine in our words. `docker-engine.ts` is the real one, test/support has the scripted one; both pass the
 * same contract suite (test/integration/engine-contract.ts).
 *
 * Every call has a deadline and an optional signal, and fails with a RelightError whose code tells the two great cases
 * apart: `engine-unreachable` / `engine-timeout` say nothing about any container; every other code is the engine's answer.
 */
import type { CreateOptions } from './create-options.ts';

export type ContainerStatus = 'created' | 'running' | 'paused' | 'restarting' | 'removing' | 'exited' | 'dead';

/** What is true of a container, from inspect. Times are epoch milliseconds, null where the engine has none. */
export interface ContainerFacts {
  readonly id: string;
  /** Without the leading slash. */
  readonly name: string;
  readonly image: string;
  readonly imageId: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly status: ContainerStatus;
  /** Host pid of the first process; 0 when not running. */
  readonly pid: number;
  readonly createdAt: number;
  readonly startedAt: number | null;
  readonly finishedAt: number | null;
  readonly exitCode: number | null;
  readonly oomKilled: boolean;
  /** The engine's own start error (missing device, bad entry point), or ''. */
  readonly error: string;
  readonly restartPolicy: string;
  readonly restartCount: number;
  readonly logDriver: string;
  /** Host path of the json-file log; '' when the driver has none. */
  readonly logPath: string;
  readonly tty: boolean;
  /** Config.User of the container: '' is root. */
  readonly user: string;
  /** Host path bound at /run/relight, '' when there is none. */
  readonly runDirectory: string;
}

export interface EngineInfo {
  /** The engine's own id; changes when its data directory is new. */
  readonly id: string;
  readonly version: string;
  readonly apiVersion: string;
  readonly liveRestore: boolean;
  readonly runtimes: readonly string[];
  readonly cgroupVersion: string;
  readonly rootDirectory: string;
  /** overlay2, vfs … */
  readonly storageDriver?: string;
  /** systemd or cgroupfs. */
  readonly cgroupDriver?: string;
}

export interface EngineEvent {
  readonly type: 'container' | 'image' | 'other';
  /** As `eventFilters` names them. */
  readonly action: string;
  readonly id: string;
  /** Actor attributes: name, image, labels, exitCode, execID … */
  readonly attributes: Readonly<Record<string, string>>;
  /** Epoch milliseconds, the engine's. */
  readonly at: number;
}

export interface ExecOptions {
  readonly argv: readonly string[];
  /** KEY=value pairs on top of the container's. */
  readonly env?: Readonly<Record<string, string>>;
  readonly user?: string;
  readonly workingDir?: string;
}

/** An exec that goes on by itself in the container; the engine reports its host pid. */
export interface DetachedExec {
  readonly execId: string;
  /** 0 when it was already over. */
  readonly pid: number;
}

export interface ExecResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CallOptions {
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

export interface ContainerStats {
  /** Total CPU time used, nanoseconds. */
  readonly cpuNs: number;
  readonly memoryBytes: number;
  readonly memoryLimitBytes: number;
  readonly pids: number;
}

export interface Engine {
  ping(options?: CallOptions): Promise<void>;
  info(options?: CallOptions): Promise<EngineInfo>;
  /** Ids of all containers, running or not, that carry all `labels` (exact), or whose name is exactly `name`. */
  list(
    filter: { readonly labels?: Readonly<Record<string, string>>; readonly name?: string },
    options?: CallOptions,
  ): Promise<readonly string[]>;
  /** By id or exact name. Null: there is no such container. */
  inspect(idOrName: string, options?: CallOptions): Promise<ContainerFacts | null>;
  /** The engine's own inspect document, for imports. Null: there is no such container. */
  inspectRaw(idOrName: string, options?: CallOptions): Promise<Record<string, unknown> | null>;
  hasImage(image: string, options?: CallOptions): Promise<boolean>;
  /** The engine's own inspect document of an image, by name or id, for imports. Null: there is no such image. */
  inspectImage?(image: string, options?: CallOptions): Promise<Record<string, unknown> | null>;
  /** Fails with image-not-found, image-unauthorized or image-pull-failed. `progress` gets one short line at a time. */
  pull(image: string, progress: (line: string) => void, options?: CallOptions): Promise<void>;
  /** Fails with image-not-found (no local image), name-conflict, create-rejected. */
  create(name: string, body: CreateOptions, options?: CallOptions): Promise<{ readonly id: string; readonly warnings: readonly string[] }>;
  /** Fails with port-taken, device-missing, disk-full, start-failed. Starting a running container succeeds. */
  start(id: string, options?: CallOptions): Promise<void>;
  /** SIGTERM (or the container's stop signal), then SIGKILL after `graceMs`. Stopping a stopped or absent one succeeds. */
  stop(id: string, graceMs: number, options?: CallOptions): Promise<void>;
  /** Killing a stopped or absent one succeeds. */
  kill(id: string, signal: string, options?: CallOptions): Promise<void>;
  /** Sets the engine's restart policy of a container to `no`. */
  stopRestarting?(id: string, options?: CallOptions): Promise<void>;
  /** Fails with name-conflict. */
  rename(id: string, name: string, options?: CallOptions): Promise<void>;
  /** Forced, with its anonymous volumes. Removing an absent one succeeds. */
  remove(id: string, options?: CallOptions): Promise<void>;
  /** Starts a command and leaves it to itself. Fails with exec-failed when the program cannot be started. */
  execDetached(id: string, exec: ExecOptions, options?: CallOptions): Promise<DetachedExec>;
  /** Runs a short command to its end, output capped at 64 KiB each. The deadline kills it in the container. */
  exec(id: string, exec: ExecOptions, options?: CallOptions): Promise<ExecResult>;
  /** Live events until the signal aborts or the stream breaks (then it throws engine-unreachable). Never replays. */
  events(signal: AbortSignal, onOpen: () => void): AsyncIterable<EngineEvent>;
  /**
   * What a container has said, and says until it ends or the signal aborts, through whatever driver: the engine's own bytes, each message
   * with its time ahead, in frames unless the container has a terminal. `since`: seconds.nanoseconds, inclusive; null: from the beginning.
   */
  logs?(id: string, since: string | null, signal: AbortSignal): AsyncIterable<Buffer>;
  stats(id: string, options?: CallOptions): Promise<ContainerStats | null>;
}
