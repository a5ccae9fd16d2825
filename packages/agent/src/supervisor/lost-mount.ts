/**
 * A mount is gone, and what follows. Its process often ends before anybody has looked at the mount: so the mounts are looked at before
 * the end of a process is judged. It would otherwise be started again on a dead mount until another container is tried.
 */
import { suspect, suspectDependency } from './dependency.ts';
import { fail, failureWith } from './failure.ts';
import type { Failure, LostMount } from './op.ts';
import type { ActiveLevel } from './state.ts';
import type { Work } from './work.ts';

/** The process has ended by itself; the container lives. Counted once its mounts, and what it depends on, have been asked. */
export function processFailed(work: Work, failure: Failure, level: ActiveLevel): void {
  if (suspectMounts(work, failure, level) || suspectDependency(work, failure, level, 'none')) return;
  fail(work, failure, level);
}

function suspectMounts(work: Work, failure: Failure, level: ActiveLevel): boolean {
  const { mounts, pause, drain, finished, engine, readyAt } = work.state;
  if (Object.keys(mounts).length === 0 || pause !== null || drain !== null || finished !== null || !engine.up) return false;
  suspect(work, { failure, level, ask: 'mounts', act: 'none', readyAt });
  return true;
}

/** What a look at the mounts has brought; one that failed brings nothing. */
export function onLooked(work: Work, found: readonly LostMount[]): void {
  // Placed again since, or of no interest any more.
  const lost = found.filter(({ mount }) => work.state.mounts[mount] !== undefined);
  for (const one of lost) tellLost(work, one);
  const [first] = lost;
  if (first !== undefined) blame(work, lossOf(first));
  else goOn(work);
}

/** The program of a mount has ended on the way, when nobody is there to look at the mount: its end says what happened. */
export function mountEnded(
  work: Work,
  mount: string,
  { exitCode, signal }: { readonly exitCode: number | null; readonly signal: string | null },
): void {
  const target = targetOf(work, mount);
  const how = exitCode === null ? 'was killed' : `ended with exit code ${exitCode}${signal === null ? '' : ` (${signal})`}`;
  const facts = { mount, target, condition: 'ended', code: 'mount-lost', level: 'process', exitCode, signal };
  work.emit('mount.lost', 'error', `mount ${mount} (${target}): its program ${how}`, facts);
  loseMount(work, mount);
  blame(work, failureWith('mount-lost', `mount ${mount}: its program ${how}`, { mount }));
}

/** The failure that is in doubt was this one. */
function blame(work: Work, loss: Failure): void {
  const { suspect: doubted } = work.state;
  if (doubted?.ask !== 'mounts') return;
  work.set({ suspect: null });
  fail(work, loss, 'process', doubted.readyAt);
}

/** The mounts explain nothing. */
function goOn(work: Work): void {
  const { suspect: doubted } = work.state;
  if (doubted?.ask !== 'mounts') return;
  const { failure, level, act, readyAt } = doubted;
  work.set({ suspect: null });
  if (!suspectDependency(work, failure, level, act, readyAt)) fail(work, failure, level, readyAt);
}

export function tellLost(work: Work, { mount, condition, message }: LostMount): void {
  const hung = condition === 'hung';
  const target = targetOf(work, mount);
  work.emit(hung ? 'mount.hung' : 'mount.lost', 'error', `mount ${mount} (${target}): ${message}`, {
    code: hung ? 'mount-hung' : 'mount-lost',
    level: 'process',
    mount,
    target,
    condition,
  });
  loseMount(work, mount);
}

export const lossOf = ({ mount, condition, message }: LostMount): Failure =>
  failureWith(condition === 'hung' ? 'mount-hung' : 'mount-lost', `mount ${mount}: ${message}`, { mount });

const targetOf = (work: Work, mount: string): string | undefined => work.spec.mounts.find(({ name }) => name === mount)?.target;

function loseMount(work: Work, mount: string): void {
  const { [mount]: lost, ...mounts } = work.state.mounts;
  const lostMounts = lost?.run === null || lost === undefined ? work.state.lostMounts : [...work.state.lostMounts, lost.run];
  work.cancelOp();
  // What has files open there keeps a dead handle for ever; it is stopped when the mount is back.
  work.set({ mounts, lostMounts, ...(work.state.process === null || work.state.stop === 'now' ? {} : { stop: 'after-mounts' as const }) });
}
