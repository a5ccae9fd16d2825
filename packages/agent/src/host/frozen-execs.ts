/**
 * An exec that is about to begin when somebody pauses its container is frozen half begun. Engine 20.10 waits for such a one with a lock, and
 * whoever asks it anything about this container from the next `docker unpause` on waits for ever. A person restarts the engine.
 *
 * Here it is let begin: for as long as that needs (some 20 ms) it alone is put into a cgroup beside the container's, where nothing is frozen.
 * The container stays paused all the time, so what the engine says of it stays true, and the `docker unpause` that hung succeeds.
 */
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setImmediate as yieldToLoop } from 'node:timers/promises';
import { delay, type Clock } from '@relight/shared/clock';
import { errorMessage } from '@relight/shared/errors';
import type { NewAgentEvent } from '@relight/shared/event';
import type { Logger } from 'pino';
import { canRun, listPids, parseMountinfo, readCgroup, readStat } from '../stages/proc.ts';
import { locateFreezer, parseMemberships } from './cgroup.ts';

/** One that does not come to its beginning has another reason. */
const asideMsMax = 2_000;
/** A command may fork faster than it is put back. */
const putBackTries = 50;
const pollMs = 1;
const pidsPerTurn = 256;

const frozenWord = { 1: ['freezer.state', 'FROZEN'], 2: ['cgroup.freeze', '1'] } as const;

export interface FrozenExecsOptions {
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'warn'>;
  readonly emit: (event: Omit<NewAgentEvent, 'at'>) => void;
  readonly procRoot?: string;
}

export class FrozenExecs {
  readonly #options: FrozenExecsOptions;
  readonly #underWay = new Set<string>();

  constructor(options: FrozenExecsOptions) {
    this.#options = options;
  }

  /** When it was just paused, and at every look while the engine says nothing about it. Never rejects. */
  async letBegin(containerId: string, containerName: string, workload: string): Promise<void> {
    const { clock, logger, emit, procRoot } = this.#options;
    if (this.#underWay.has(containerId)) return;
    this.#underWay.add(containerId);
    try {
      const tookMs = await letFrozenExecsBegin(containerId, clock, procRoot);
      if (tookMs !== null) emit(notice(containerId, containerName, workload, Math.ceil(tookMs)));
    } catch (thrown) {
      logger.warn({ workload, containerId, reason: errorMessage(thrown) }, 'an exec that is frozen half begun cannot be let begin');
    } finally {
      this.#underWay.delete(containerId);
    }
  }
}

const notice = (containerId: string, containerName: string, workload: string, tookMs: number): Omit<NewAgentEvent, 'at'> => ({
  kind: 'host.notice',
  severity: 'warning',
  workload,
  message:
    `an exec that was about to begin when somebody paused the container ${containerName} stood frozen half begun, and the engine waits for such a ` +
    `one with a lock: it was let begin, alone, within ${tookMs} ms; the pause stands`,
  data: { containerId, tookMs },
});

/** How long they took, ms; null: no exec stands frozen half begun there. Throws what the cgroup's files throw. */
export async function letFrozenExecsBegin(containerId: string, clock: Clock, procRoot = '/proc'): Promise<number | null> {
  const found = await findBeginning(procRoot, containerId);
  const [one] = found;
  if (one === undefined) return null;
  const mounts = parseMountinfo(readFileSync(`${procRoot}/self/mountinfo`, 'utf8'));
  const freezer = locateFreezer(parseMemberships(readCgroup(procRoot, one) ?? ''), mounts, containerId);
  if (freezer === null) return null;
  const [file, frozen] = frozenWord[freezer.version];
  if (readFileSync(join(freezer.directory, file), 'utf8').trim() !== frozen) return null;
  const began = clock.monotonic();
  const aside = join(dirname(freezer.directory), `relight-begin-${containerId.slice(0, 12)}`);
  // One that an agent left behind that was killed meanwhile is there already.
  mkdirSync(aside, { recursive: true });
  try {
    for (const pid of found) move(pid, aside);
    while (membersOf(aside).some((pid) => isBeginning(procRoot, pid)) && clock.monotonic() - began < asideMsMax) await delay(clock, pollMs);
  } finally {
    putBack(aside, freezer.home);
  }
  await tidyUp(aside, clock);
  return clock.monotonic() - began;
}

async function findBeginning(procRoot: string, containerId: string): Promise<readonly number[]> {
  const found: number[] = [];
  for (const [index, pid] of listPids(procRoot).entries()) {
    if (index % pidsPerTurn === pidsPerTurn - 1) await yieldToLoop();
    if (isBeginning(procRoot, pid) && readCgroup(procRoot, pid)?.includes(containerId) === true) found.push(pid);
  }
  return found;
}

/** What runc calls itself inside the container, until it becomes the command: `runc:[0:PARENT]`, `runc:[1:CHILD]`, `runc:[2:INIT]`. */
function isBeginning(procRoot: string, pid: number): boolean {
  const stat = readStat(procRoot, pid);
  return stat !== null && canRun(stat) && stat.comm.startsWith('runc:[');
}

function putBack(aside: string, home: string): void {
  for (let tries = 0; tries < putBackTries; tries += 1) {
    const members = membersOf(aside);
    if (members.length === 0) return;
    for (const pid of members) move(pid, home);
  }
}

/** What has ended there is gone a moment later. An empty cgroup that stays is used the next time. */
async function tidyUp(aside: string, clock: Clock): Promise<void> {
  for (let tries = 0; tries < 20; tries += 1) {
    try {
      rmdirSync(aside);
      return;
    } catch {
      await delay(clock, 10 * pollMs);
    }
  }
}

/** A process that has just ended is moved nowhere. */
function move(pid: number, directory: string): void {
  try {
    writeFileSync(join(directory, 'cgroup.procs'), String(pid));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function membersOf(directory: string): readonly number[] {
  return readFileSync(join(directory, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number);
}
