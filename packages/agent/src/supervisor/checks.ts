/** Results of probes: counted here, acted on at their thresholds. */
import type { MountCondition } from '../checks/probe.ts';
import type { CheckReport } from './state.ts';
import { suspectDependency } from './dependency.ts';
import { fail, failureWith as failure } from './failure.ts';
import { lossOf, tellLost } from './lost-mount.ts';
import type { CheckState } from './state.ts';
import type { Work } from './work.ts';

export function onCheck(work: Work, report: CheckReport): void {
  const { list, name, ok, message, unanswered, unknown } = report;
  if (unanswered === true) {
    const others = work.state.unanswered.filter((other) => other.list !== list || other.name !== name);
    work.set({ unanswered: [...others, { list, name, ok, message, unanswered }] });
    work.effect({ kind: 'observe' });
  } else if (list === 'ready') onReadyCheck(work, name, ok, message);
  else if (unknown === true) onUnknown(work, name, message);
  else onLiveCheck(work, report);
}

/** The engine answers and the container runs: what failed through it meanwhile has failed. */
export function countUnanswered(work: Work): void {
  const { unanswered } = work.state;
  if (unanswered.length === 0) return;
  work.set({ unanswered: [] });
  for (const { list, name, ok, message } of unanswered) {
    const { container } = work.state;
    if (container?.running === true && !container.frozen) onCheck(work, { list, name, ok, message });
  }
}

function onReadyCheck(work: Work, name: string, ok: boolean, message: string): void {
  if (work.state.verifyingSince === null) return;
  work.set({ ready: noted(work.state.ready, name, next(work.state.ready[name], ok, message)) });
}

/** Neither counts nor clears what has been counted: the one who could tell is away. */
function onUnknown(work: Work, name: string, message: string): void {
  if (work.state.readyAt === null || work.spec.live.every((check) => check.name !== name)) return;
  const before = work.state.live[name];
  work.set({ live: noted(work.state.live, name, { ok: before?.ok ?? true, failures: before?.failures ?? 0, message }) });
}

function onLiveCheck(work: Work, { name, ok, message, reportOnly, certain, code = 'live-failed' }: Omit<CheckReport, 'list'>): void {
  const check = work.spec.live.find((candidate) => candidate.name === name);
  if (check === undefined || work.state.readyAt === null) return;
  const before = work.state.live[name];
  // What is only told is not counted either: when it becomes a failure, it begins with the first.
  const now = reportOnly === true ? { ok, failures: 0, message } : next(before, ok, message);
  work.set({ live: noted(work.state.live, name, now) });
  if (ok) {
    if (before?.ok === false) work.emit('check.recovered', 'info', `live check ${name}: ${message}`, { check: name });
    return;
  }
  if (before?.ok !== false) {
    const counted = reportOnly === true || certain === true ? '' : ` (1 of ${check.failures})`;
    work.emit('check.failed', 'warning', `live check ${name}: ${message}${counted}`, { check: name, failures: now.failures, code });
  }
  if (reportOnly === true || check.restarts === 'none' || (certain !== true && now.failures < check.failures)) return;
  const level = check.restarts === 'process' && work.spec.process !== null ? 'process' : 'container';
  const how = certain === true ? '' : ` failed ${now.failures} times`;
  const failed = failure(code, `live check ${name}${how}: ${message}`, { check: name });
  if (suspectDependency(work, failed, level, level === 'process' ? 'stop' : 'replace')) return;
  work.set(level === 'process' ? { stop: 'now' } : { replace: true });
  fail(work, failed, level);
}

export function onMountCheck(work: Work, mount: string, condition: MountCondition, message: string): void {
  const spec = work.spec.mounts.find((candidate) => candidate.name === mount);
  // A result for a mount that is being placed again right now is stale.
  if (spec === undefined || work.state.mounts[mount] === undefined || work.state.op?.op.kind === 'mount') return;
  const before = work.state.mountChecks[mount];
  const now = next(before, condition === 'ok', message);
  work.set({ mountChecks: noted(work.state.mountChecks, mount, now) });
  if (condition === 'ok') {
    if (before?.ok === false) work.emit('check.recovered', 'info', `mount ${mount} answers again`, { mount });
    return;
  }
  const certain = condition === 'disconnected' || condition === 'absent';
  if (!certain && now.failures < spec.check.failures) {
    if (before?.ok !== false) {
      work.emit('check.failed', 'warning', `mount ${mount}: ${message} (1 of ${spec.check.failures})`, {
        code: condition === 'hung' ? 'mount-hung' : 'mount-lost',
        mount,
        condition,
      });
    }
    return;
  }
  tellLost(work, { mount, condition, message });
  fail(work, lossOf({ mount, condition, message }), 'process');
}

function next(before: CheckState | undefined, ok: boolean, message: string): CheckState {
  return { ok, failures: ok ? 0 : (before?.failures ?? 0) + 1, message };
}

/** The same object when the check says what it said: one that passes all day changes nothing. */
function noted(all: Readonly<Record<string, CheckState>>, name: string, now: CheckState): Readonly<Record<string, CheckState>> {
  const { ok, failures, message } = all[name] ?? {};
  return ok === now.ok && failures === now.failures && message === now.message ? all : { ...all, [name]: now };
}
