/**
 * Looks at a mount from outside the container: mountinfo says whether it is there, a child says whether it answers. The
 * child calls statfs, which FUSE never answers from a cache. The agent itself touches nothing on the mount.
 */
import type { Clock } from '@relight/shared/clock';
import { formatDurationMs } from '@relight/shared/units';
import { runChild } from '@relight/shared/child';
import { lastLine } from '../stages/output.ts';
import { isFuse, type MountEntry, readMountinfo, topMountAt } from '../stages/proc.ts';
import type { MountProbeResult } from './probe.ts';

export interface MountProbeRequest {
  /** Host pid of the container's first process. */
  readonly containerPid: number;
  /** Inside the container, without symbolic links. */
  readonly target: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

interface MountQuestion {
  /** What a child that hangs says nothing new about. */
  readonly key: string;
  /** No shell around it: that one would die of its kill and leave behind, unnoticed, the call that hangs. */
  readonly argv: readonly ['stat', ...string[]];
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

interface MountAnswer extends Pick<MountProbeResult, 'condition' | 'message'> {
  readonly stdout: string;
}

/**
 * A child that survives SIGKILL (the FUSE daemon has read its request and never answers) is parked: while it lives, the
 * same mount is `hung` without another child. Share one instance between checks and stages.
 */
export class MountProbes {
  readonly #clock: Clock;
  readonly #procRoot: string;
  readonly #parked = new Set<string>();

  constructor({ clock, procRoot = '/proc' }: { readonly clock: Clock; readonly procRoot?: string }) {
    this.#clock = clock;
    this.#procRoot = procRoot;
  }

  async probe({ containerPid, target, timeoutMs, signal }: MountProbeRequest): Promise<MountProbeResult> {
    const began = this.#clock.monotonic();
    const result = (condition: MountProbeResult['condition'], message: string): MountProbeResult => ({
      condition,
      message,
      durationMs: this.#clock.monotonic() - began,
    });
    const mounts = readMountinfo(this.#procRoot, containerPid);
    if (mounts === null) return result('error', `the container's first process (pid ${containerPid}) is gone`);
    const mount = topMountAt(mounts, target);
    if (mount === null) return result('absent', `nothing is mounted at ${target}`);
    if (!isFuse(mount)) return result('absent', `at ${target} is ${describeMount(mount)}, no FUSE mount`);
    // The device number is new for each mount: a parked child of an earlier one says nothing about this one.
    const key = `${containerPid} ${mount.device} ${mount.mountPoint}`;
    const argv = ['stat', '-f', '-c', 'ok', '--', `${this.#procRoot}/${containerPid}/root${mount.mountPoint}`] as const;
    const { condition, message } = await this.ask({ key, argv, timeoutMs, signal });
    return result(condition, condition === 'ok' ? describeMount(mount) : message);
  }

  /** One question to a file system, by a child. While one with the same key cannot be killed, the answer is `hung`. */
  async ask({ key, argv, timeoutMs, signal }: MountQuestion): Promise<MountAnswer> {
    const answer = (condition: MountAnswer['condition'], message: string, stdout = ''): MountAnswer => ({ condition, message, stdout });
    if (this.#parked.has(key)) return answer('hung', 'an earlier look has not come back yet');
    const child = await runChild({ argv, clock: this.#clock, timeoutMs, signal, env: { PATH: process.env['PATH'], LC_ALL: 'C' } });
    if (child.survivor !== null) {
      this.#parked.add(key);
      void child.survivor.then(() => this.#parked.delete(key));
    }
    if (child.timedOut)
      return signal.aborted ? answer('error', 'cancelled') : answer('hung', `no answer within ${formatDurationMs(timeoutMs)}`);
    if (child.exitCode === 0) return answer('ok', '', child.stdout);
    return answer(...judgeFailure(child.spawnError === null ? lastLine(child.stderr) : `stat: ${child.spawnError}`));
  }
}

/** Pure: what the message of `stat` (in the C locale) says. */
export function judgeFailure(message: string): [condition: 'disconnected' | 'error', message: string] {
  // Software caused connection abort: the connection was aborted through fusectl.
  const reason = /: ([^:]+)$/.exec(message)?.[1] ?? message;
  return /Transport endpoint is not connected|Software caused connection abort/.test(message)
    ? ['disconnected', reason]
    : ['error', reason];
}

const describeMount = (mount: MountEntry): string => `${mount.fsType} ${mount.source}`;
