/** Runs in containers of a real engine on this host. Nothing about a run is kept in memory: files and /proc say it all. */
import { closeSync, rmSync } from 'node:fs';
import type { Clock } from '@relight/shared/clock';
import { RelightError, toRelightError } from '@relight/shared/errors';
import type { SegmentKey } from '@relight/shared/log-stream';
import type { Engine } from '../engine/engine.ts';
import type { LogShipper } from '../logs/log-shipper.ts';
import type { RunHandle, RunRef } from '../supervisor/op.ts';
import { parseRunOf, type RunOwner } from '../supervisor/run-id.ts';
import { onDisk } from './disk-trouble.ts';
import { openHeld } from './held-file.ts';
import { isAlive, readStat } from './proc.ts';
import { seenDirectory } from './run-directory.ts';
import { watchExit } from './run-exit.ts';
import {
  createRunFiles,
  findAllRunFiles,
  findRunFiles,
  heldFile,
  openRegular,
  partsOf,
  readStatus,
  readTail,
  type RunFiles,
  type RedactTail,
  segmentOfBase,
} from './run-files.ts';
import { type ContainerProcess, leaderOf, membersOf, type RunSession } from './run-members.ts';
import { scanContainer } from './run-scan.ts';
import { readSession, writeSession } from './run-session.ts';
import { stopMembers } from './run-stop.ts';
import { commandArgv, logDescriptor, statusDescriptor, wrapperArgv } from './run-wrapper.ts';
import { type RunExit, type RunRequest, type Runs, runDirectoryTarget } from './runs.ts';

/**
 * Each has its log followed, and is judged by the supervisor. A container has one run for its process, one for each mount, and some for
 * daemons that its setup has left; its processes may claim as many as they are.
 */
const listedMax = 200;

export interface ContainerRunsOptions {
  readonly engine: Engine;
  readonly clock: Clock;
  /** See run-files.ts; `runRootOf(stateDir)`. */
  readonly runRoot: string;
  readonly logs: LogShipper;
  /** Frees of the workload's secrets what its runs wrote last, before anything is cut from it. Default: it has none. */
  readonly redact?: (workload: string, ...tail: Parameters<RedactTail>) => string;
  readonly procRoot?: string;
}

export class ContainerRuns implements Runs {
  readonly #engine: Engine;
  readonly #clock: Clock;
  readonly #runRoot: string;
  readonly #logs: LogShipper;
  readonly #redact: ContainerRunsOptions['redact'];
  readonly #procRoot: string;
  /** Waiting `exited` calls: they look at once after something was killed. */
  readonly #lookers = new Set<() => void>();

  constructor({ engine, clock, runRoot, logs, redact, procRoot = '/proc' }: ContainerRunsOptions) {
    this.#engine = engine;
    this.#clock = clock;
    this.#runRoot = runRoot;
    this.#logs = logs;
    this.#redact = redact;
    this.#procRoot = procRoot;
  }

  async start(request: RunRequest, signal: AbortSignal): Promise<RunHandle> {
    const { run, containerId, env } = request;
    const files = onDisk(() => createRunFiles(this.#runRoot, run));
    const inside = { log: `${runDirectoryTarget}/${files.base}.log`, status: `${runDirectoryTarget}/${files.base}.status` };
    const argv = wrapperArgv(inside, request.directory ?? '', commandArgv(request.command, request.shell));
    this.#logs.follow({ key: files.segment, path: files.log, format: 'raw' });
    try {
      const exec = await this.#engine.execDetached(containerId, { argv, env: { ...env, RELIGHT_RUN: run.runId } }, { signal });
      const handle = { ...run, pid: exec.pid, startTicks: readStat(this.#procRoot, exec.pid)?.startTicks ?? 0 };
      if (handle.startTicks > 0) writeSession(files, handle);
      await this.#checkDirectory(files, handle, containerId, signal);
      return handle;
    } catch (error) {
      // The engine may start it yet, after whoever purges it has looked: without its status file the wrapper runs nothing.
      rmSync(files.status, { force: true });
      this.#logs.finish(files.segment);
      throw withShellAdvice(error);
    }
  }

  async exited(run: RunHandle, _containerId: string, signal: AbortSignal): Promise<RunExit> {
    const files = findRunFiles(this.#runRoot, run);
    const segment = this.#follow(run, files);
    const exit = await watchExit({
      clock: this.#clock,
      openStatus: () => this.#openStatus(run, files),
      isAlive: () => isAlive(this.#procRoot, run.pid, run.startTicks),
      signal,
      onWake: (look) => {
        this.#lookers.add(look);
        return () => this.#lookers.delete(look);
      },
    });
    // A mount program that went into the background writes on; its log is finished when it is stopped.
    const goesOn = run.kind === 'mount' && exit.exitCode === 0;
    if (segment !== null && !goesOn) this.#logs.finish(segment);
    return exit;
  }

  async stop(runs: readonly RunRef[], containerId: string, graceMs: number, signal: AbortSignal): Promise<void> {
    if (runs.length === 0) return;
    const sessions = findAllRunFiles(this.#runRoot, runs).flatMap((files) => readSession(files) ?? []);
    const runIds = runs.map(({ runId }) => runId);
    try {
      const members = () => this.#members(containerId, runIds, sessions);
      await stopMembers({ procRoot: this.#procRoot, clock: this.#clock, signal, members }, graceMs);
    } catch (error) {
      throw signal.aborted ? toRelightError(signal.reason, 'cancelled') : error;
    } finally {
      for (const look of this.#lookers) look();
    }
    for (const files of findAllRunFiles(this.#runRoot, runs)) if (files !== null) this.#logs.finish(files.segment);
  }

  async find(run: RunRef, containerId: string): Promise<RunHandle | null> {
    const files = findRunFiles(this.#runRoot, run);
    if (files !== null && hasStatus(files)) return null;
    const processes = await scanContainer(this.#procRoot, containerId, this.#clock);
    const leader = leaderOf(processes.filter(({ runId }) => runId === run.runId));
    return leader === null ? null : this.#adopt(run, leader, files);
  }

  async list(containerId: string, of: RunOwner): Promise<readonly RunHandle[]> {
    const processes = await scanContainer(this.#procRoot, containerId, this.#clock);
    const found: { readonly run: RunRef; readonly leader: ContainerProcess }[] = [];
    for (const [runId, members] of Map.groupBy(processes, (process) => process.runId)) {
      const parts = runId === null ? undefined : parseRunOf(runId, of);
      const leader = leaderOf(members);
      if (runId !== null && parts !== undefined && leader !== null)
        found.push({ run: { runId, kind: parts.kind, name: parts.name }, leader });
    }
    const listed = found.toSorted((a, b) => a.leader.startTicks - b.leader.startTicks).slice(0, listedMax);
    const files = findAllRunFiles(
      this.#runRoot,
      listed.map(({ run }) => run),
    );
    return listed.map(({ run, leader }, index) => this.#adopt(run, leader, files[index] ?? null));
  }

  tail(run: RunRef, workload: string, generation: number, bytes: number): Promise<string> {
    const files = findRunFiles(this.#runRoot, run);
    const { workload: itsWorkload, generation: itsGeneration } = partsOf(run);
    if (files === null || itsWorkload !== workload || itsGeneration !== generation) return Promise.resolve('');
    const redact = this.#redact;
    return Promise.resolve(readTail(files.log, bytes, redact && ((...tail) => redact(workload, ...tail))));
  }

  #adopt(run: RunRef, leader: ContainerProcess, files: RunFiles | null): RunHandle {
    const handle = { ...run, pid: leader.pid, startTicks: leader.startTicks };
    this.#follow(handle, files);
    return handle;
  }

  /** Follows the run's log by its name or, when that was deleted, through the wrapper that still holds the file. */
  #follow(run: RunHandle, files: RunFiles | null): SegmentKey | null {
    if (files !== null) {
      this.#logs.follow({ key: files.segment, path: files.log, format: 'raw' });
      return files.segment;
    }
    const held = heldFile(this.#procRoot, run, logDescriptor);
    if (held === null) return null;
    const key = segmentOfBase(run, held.base);
    this.#logs.follow({ key, path: held.path, format: 'raw' });
    return key;
  }

  #openStatus(run: RunHandle, files: RunFiles | null): { readonly fd: number; readonly path: string } | null {
    const held = files === null ? heldFile(this.#procRoot, run, statusDescriptor) : null;
    const fd = files === null ? held && openHeld(held.path) : openRegular(files.status);
    // By our own descriptor: what the container can rename may lead elsewhere by the time that it is watched.
    return fd === null ? null : { fd, path: `/proc/self/fd/${fd}` };
  }

  /**
   * Is what the container sees at /run/relight what the agent sees on the host? When not (the state directory was deleted or
   * moved), output would be lost and ends never noticed: the container has to be made anew.
   */
  async #checkDirectory(files: RunFiles, run: RunHandle, containerId: string, signal: AbortSignal): Promise<void> {
    if (seenDirectory(this.#procRoot, run.pid, files.directory) === 'same' || hasStatus(files)) return;
    // The run may just be ending, and then its root and mounts are gone before it is: the container's first process decides.
    const facts = await this.#engine.inspect(containerId, { signal });
    if (facts === null || facts.pid === 0)
      throw new RelightError('container-exited', 'the container died while a command was started in it');
    const seen = seenDirectory(this.#procRoot, facts.pid, files.directory);
    // The engine does not say why a detached exec did not come to life; one that is waited for does.
    if (seen === 'same' && run.pid === 0 && !hasStatus(files)) {
      await this.#engine.exec(containerId, { argv: ['sh', '-c', ':'] }, { signal });
    }
    if (seen !== 'lost') return;
    await this.stop([run], containerId, 0, signal);
    throw new RelightError('run-directory-lost', `${runDirectoryTarget} in the container is not ${files.directory} on the host any more`);
  }

  async #members(containerId: string, runIds: readonly string[], sessions: readonly RunSession[]): Promise<ContainerProcess[]> {
    const processes = await scanContainer(this.#procRoot, containerId, this.#clock);
    return membersOf(processes, runIds, sessions, (pid) => readStat(this.#procRoot, pid) !== null);
  }
}

function hasStatus(files: RunFiles): boolean {
  const fd = openRegular(files.status);
  if (fd === null) return false;
  try {
    return readStatus(fd) !== null;
  } finally {
    closeSync(fd);
  }
}

function withShellAdvice(thrown: unknown): RelightError {
  const error = toRelightError(thrown);
  if (error.code !== 'exec-failed' || !/"sh"|\bsh: |exec: "?sh/.test(error.message)) return error;
  return new RelightError('exec-failed', `there is no "sh" in the container: ${error.message}`, {
    cause: error,
    recoverable: false,
    advice: 'Add a POSIX shell to the image: every command of Relight runs through one.',
  });
}
