/**
 * Pure: the root cause of an incident out of its timeline, in one sentence that needs no context. What is reported first is
 * rarely what came first: a process exits because its mount died, the mount died because the kernel killed its daemon. So the
 * rules go from the machine inwards, and the first that applies wins:
 *
 *   preemption ▸ reboot ▸ engine gone ▸ out of memory ▸ accelerator ▸ disk ▸ somebody's hand ▸ mount ▸ dependency
 *          ▸ a failure that no retry mends ▸ the first failure itself
 */
import { catalogue, type ErrorCode } from '@relight/shared/errors';
import type { TimelineEntry } from '@relight/shared/incident';
import type { Level } from '@relight/shared/phase';
import { formatBytes } from '@relight/shared/units';
import { consequence, containerExit, endedBy, lastWords, processExit } from './exit-words.ts';
import { isFailure, numberOf, textOf } from './timeline.ts';

export interface Verdict {
  readonly cause: string;
  readonly code: string;
  readonly level: Level;
  readonly advice: string;
}

interface Scene {
  /** The first failure. */
  readonly first: TimelineEntry;
  /** What was seen shortly before it, and what explains it shortly after. */
  readonly near: readonly TimelineEntry[];
  readonly all: readonly TimelineEntry[];
  /** Null: it is the host's own. */
  readonly workload: string | null;
}

type Rule = (scene: Scene) => Verdict | null;

/** Ray's workers give up about a minute after their head is gone. */
const beforeMs = 75_000;
/** The kernel log and the engine are read with a small delay. */
const afterMs = 6_000;
/** A restart finds its dependency missing as soon as it asks, back-off aside. */
const dependencyMs = 20_000;

const rules: readonly Rule[] = [
  leaving,
  rebooted,
  engineGone,
  outOfMemory,
  accelerator,
  disk,
  otherHands,
  mount,
  dependency,
  hopeless,
  firstFailure,
];

/** `timeline`: in order of time; `openedAt`: when the incident was opened, what lies before it was seen shortly before. */
export function causeOf(timeline: readonly TimelineEntry[], openedAt: number, workload: string | null): Verdict {
  const noticed = timeline.find((entry) => entry.at >= openedAt && opens(entry)) ?? timeline.find(isFailure) ?? timeline.at(-1);
  if (noticed === undefined) return { cause: 'nothing is known', code: '', level: 'container', advice: '' };
  const first = deathOfAll(noticed, timeline);
  const near = timeline.filter(({ at }) => at >= first.at - beforeMs && at <= first.at + afterMs);
  const scene = { first, near, all: timeline, workload };
  for (const rule of rules) {
    const verdict = rule(scene);
    if (verdict !== null) return verdict;
  }
  return verdictOf(first.message, codeOf(first) ?? '', 'container');
}

/** A process that nobody saw ending fell with its container, of which the engine tells once all of it is gone. */
function deathOfAll(noticed: TimelineEntry, timeline: readonly TimelineEntry[]): TimelineEntry {
  if (noticed.kind !== 'process.exited' || noticed.data['exitCode'] !== null) return noticed;
  const next = timeline.find(({ at, kind }) => at >= noticed.at && (kind === 'container.died' || kind === 'process.started'));
  return next?.kind === 'container.died' ? next : noticed;
}

function rebooted(scene: Scene): Verdict | null {
  const { first } = scene;
  if (!fellWithMachine(scene)) return null;
  const what = first.kind === 'host.booted' ? '' : '; what ran on it fell with it';
  return verdictOf(`the machine was rebooted, or crashed${what}`, 'host-rebooted', 'host');
}

const fellWithMachine = ({ near, first }: Scene): boolean =>
  near.some(({ data }) => data['code'] === 'host-rebooted') || (near.some(({ kind }) => kind === 'host.booted') && fellWithBoot(first));

/** A boot ends containers and processes, and an engine starts them again; what fails by itself a minute later it does not explain. */
const fellWithBoot = (first: TimelineEntry): boolean =>
  first.kind === 'host.booted' ||
  codeOf(first) === 'engine-restarted' ||
  codeOf(first) === 'container-restarted' ||
  (first.kind === 'process.exited' && first.data['exitCode'] === null);

/** Of the cloud: the machine is taken away now, or soon. What is merely scheduled explains nothing yet. */
const leavingConditions = /^(?:preemption|maintenance)$/;

/** An announced reboot has this cause, too; what is announced after a reboot has not. */
function leaving(scene: Scene): Verdict | null {
  const { near, first } = scene;
  const late = (at: number): boolean => at > first.at && near.some(({ kind }) => kind === 'host.booted');
  const notice = raised(near).find(({ at, data }) => leavingConditions.test(String(data['condition'])) && !late(at));
  if (notice === undefined) return null;
  const due = notice.at + (numberOf(notice.data, 'leftMs') ?? 0) <= first.at;
  return due || endedInOrder(scene) ? conditionVerdict(notice, 'host') : null;
}

/** As a machine that goes down ends what runs: its engine stops the containers, or is gone. It may do so before its time. */
function endedInOrder(scene: Scene): boolean {
  const { near, first } = scene;
  if (fellWithMachine(scene)) return true;
  const signal = endedBy(first);
  return signal === 'SIGTERM' || (signal === 'SIGKILL' && !isOom(first.data)) || byHand(near, first) || first.kind === 'engine.lost';
}

function engineGone({ near, first }: Scene): Verdict | null {
  const lost = near.findLast(({ kind }) => kind === 'engine.lost');
  if (first.kind === 'engine.lost')
    return verdictOf(afterColon(first.message, 'the container engine does not answer'), 'engine-unreachable', 'host');
  const fell = near.find(({ kind, data }) => kind === 'container.died' && data['code'] === 'engine-restarted');
  if (fell === undefined) return null;
  const said = lost === undefined ? '' : ` (${lost.message})`;
  return verdictOf(`the container engine was restarted or crashed, and the container fell with it${said}`, 'engine-restarted', 'host');
}

function outOfMemory({ near, first }: Scene): Verdict | null {
  const killings = near.filter(({ kind }) => kind === 'container.oom');
  const died = near.find(({ kind, data }) => (kind === 'container.died' || kind === 'process.exited') && isOom(data));
  if (killings.length === 0 && died === undefined && !isOom(first.data)) return null;
  const killing = killings.find(({ data }) => textOf(data, 'process') !== null) ?? killings[0];
  const facts = killing?.data ?? {};
  const process = textOf(facts, 'process');
  const pid = numberOf(facts, 'pid');
  const who = process === null ? 'a process of the container' : `${process}${pid === null ? '' : ` (pid ${pid})`}`;
  const limit = numberOf(facts, 'limitBytes') ?? numberOf(died?.data ?? {}, 'memoryLimitBytes');
  const whose =
    facts['constraint'] === 'host' ? ', the host had none left' : `, container limit ${limit === null ? 'reached' : formatBytes(limit)}`;
  const victims = new Set(killings.map(({ data }) => numberOf(data, 'pid')).filter((value) => value !== null));
  const more = victims.size > 1 ? ` (and ${victims.size - 1} more)` : '';
  return verdictOf(`the kernel killed ${who}${more} for want of memory${whose}${consequence(near)}`, 'process-oom', levelOf(first), {
    advice:
      'Raise the memory limit of the container, or lower what the program uses; the evidence "processes" and "kernel" show who used it.',
  });
}

const isOom = (data: TimelineEntry['data']): boolean => data['oomKilled'] === true || /(?:^|-)oom$/.test(textOf(data, 'code') ?? '');

function accelerator({ near, first }: Scene): Verdict | null {
  const own = acceleratorCode(codeOf(first)) ? first : undefined;
  const found = own ?? near.find((entry) => acceleratorCode(codeOf(entry)) || brokenAccelerator(entry));
  if (found === undefined || (found !== own && found.data['state'] === 'cleared')) return null;
  return verdictOf(plain(found), codeOf(found) ?? textOf(found.data, 'condition') ?? '', levelOf(found), found.data);
}

/** A card that is slow, or wants a reset some day, ends no program. */
const brokenAccelerator = ({ severity, data }: TimelineEntry): boolean =>
  acceleratorCode(textOf(data, 'condition')) && (severity !== 'warning' || data['condition'] === 'gpu-xid');

const acceleratorCode = (code: string | null): boolean => code !== null && /^(?:gpu|tpu|xid|nvidia|accelerator)(?:-|$)/.test(code);

function disk({ near, first, workload }: Scene): Verdict | null {
  const own = codeOf(first) === 'disk-full' ? first : near.find((entry) => isFailure(entry) && codeOf(entry) === 'disk-full');
  const notice = raised(near).find(
    ({ data, severity }) =>
      severity !== 'warning' && /read-?only|disk-full|inodes/.test(String(data['condition'])) && concerns(data, workload),
  );
  // After a kill only its own last words count: what fails for want of the disk then came upon the way back.
  const may = (entry: TimelineEntry): boolean => (endedBy(first) === null ? entry.at >= first.at : entry === first);
  const speaks = near.some((entry) => may(entry) && isFailure(entry) && saysDisk(entry));
  if (notice !== undefined && (speaks || !endedByOthers(near, first))) return conditionVerdict(notice, 'host');
  // No disk sends signals.
  const killed = first.kind === 'container.died' && (numberOf(first.data, 'exitCode') ?? 0) > 128;
  if (own === undefined || (killed && own !== first)) return null;
  // That it is held comes with what to do about it: it may be a staging directory, and no disk of the host.
  const advised = near.find((entry) => codeOf(entry) === 'disk-full' && textOf(entry.data, 'advice') !== null);
  return verdictOf(plain(own), 'disk-full', 'host', (advised ?? own).data);
}

/** A file system that nothing of this workload lies on explains nothing. Whom it concerns is not told where it is the host's own. */
function concerns(data: TimelineEntry['data'], workload: string | null): boolean {
  const { concerns: whom } = data;
  return !Array.isArray(whom) || (workload !== null && whom.includes(workload));
}

const saysDisk = ({ message, data }: TimelineEntry): boolean =>
  [message, textOf(data, 'lastLine'), textOf(data, 'error'), textOf(data, 'failure')].some(
    (text) => text !== null && /EROFS|ENOSPC|EDQUOT|read-only file ?system|no space left|quota exceeded/i.test(text),
  );

/** No disk sends signals, removes containers or ends the program of a mount. */
const endedByOthers = (near: readonly TimelineEntry[], first: TimelineEntry): boolean =>
  endedBy(first) !== null ||
  ['mount.lost', 'mount.hung', 'container.removed'].includes(first.kind) ||
  codeOf(first) === 'container-restarted' ||
  byHand(near, first);

/** Somebody stopped, killed or removed it through the engine, or by an order to Relight. */
function otherHands({ near, first }: Scene): Verdict | null {
  if (first.kind === 'container.removed') {
    return verdictOf('somebody removed the container (docker rm), or another program did', 'container-removed', 'container');
  }
  if (codeOf(first) === 'container-restarted') {
    const policy = textOf(first.data, 'restartPolicy');
    if (policy !== null)
      return verdictOf(`the engine's restart policy ${policy} started the container again`, 'container-restarted', 'container', first.data);
    return verdictOf('somebody else restarted the container (docker restart), or another program did', 'container-restarted', 'container');
  }
  if (first.kind !== 'container.died' && first.kind !== 'process.exited') return null;
  const hand = handOf(near, first);
  if (hand === undefined) return null;
  return verdictOf(`${hand.message}${consequence(near)}`, 'stopped-by-hand', 'container');
}

const handOf = (near: readonly TimelineEntry[], first: TimelineEntry): TimelineEntry | undefined =>
  near.find(({ kind, at, data }) => kind === 'observed' && data['hand'] === true && at >= first.at - 30_000 && at <= first.at + 2_000);

const byHand = (near: readonly TimelineEntry[], first: TimelineEntry): boolean => handOf(near, first) !== undefined;

function mount({ near, first }: Scene): Verdict | null {
  const lost = near.find(({ kind }) => kind === 'mount.lost' || kind === 'mount.hung');
  if (lost === undefined || (lost.at > first.at && first.kind === 'container.died')) return null;
  const hung = lost.kind === 'mount.hung';
  const name = textOf(lost.data, 'mount') ?? '';
  const target = textOf(lost.data, 'target');
  const what = `the mount ${name}${target === null ? '' : ` (${target})`} ${hung ? 'stopped answering' : 'died'}`;
  const died = near.some(({ kind, at }) => kind === 'process.exited' && at >= Math.min(lost.at, first.at))
    ? '; the process ended with it'
    : '';
  return verdictOf(`${what}: ${lastPart(lost.message)}${died}`, hung ? 'mount-hung' : 'mount-lost', 'process', lost.data);
}

/** What a restart waits for at once was gone before: the process ended because of it. */
function dependency({ first, all }: Scene): Verdict | null {
  const ended =
    first.kind === 'process.exited' || isDependency(first) || codeOf(first) === 'live-failed' || codeOf(first) === 'ready-timeout';
  const missing = all.find((entry) => entry.at >= first.at - beforeMs && entry.at <= first.at + dependencyMs && isDependency(entry));
  if (missing === undefined || !ended) return null;
  const what = textOf(missing.data, 'dependency') ?? lastPart(missing.message);
  const exit = numberOf(first.data, 'exitCode');
  const processEnded = `the process ended${exit === null ? '' : ` (exit code ${exit})`}`;
  const symptom = isDependency(first) ? 'the workload waits for it' : first.kind === 'process.exited' ? processEnded : plain(first);
  return verdictOf(`the dependency ${what} does not answer; ${symptom}`, 'dependency-down', 'process', {
    advice: 'Nothing on this host: look at what it depends on; it goes on within a second of its return.',
  });
}

const opens = (entry: TimelineEntry): boolean =>
  isFailure(entry) || isDependency(entry) || entry.kind === 'engine.lost' || entry.kind === 'host.booted';

/** What the workload waits for has gone. */
const isDependency = ({ kind, data, message }: TimelineEntry): boolean =>
  textOf(data, 'code') === 'dependency-down' ||
  (kind === 'workload.phase-changed' && data['to'] === 'waiting' && /^waiting: (?:tcp|http) /.test(message));

/** Held at once: the words of what cannot be mended by trying again are better than "exited with code 1". */
function hopeless({ near, first }: Scene): Verdict | null {
  const held = near.find(({ kind }) => kind === 'workload.held');
  if (held === undefined || (first.kind === 'container.died' && held !== first)) return null;
  const advice = textOf(held.data, 'advice');
  const message = advice === null ? held.message : held.message.replace(`. ${advice}`, '');
  return verdictOf(message, codeOf(held) ?? '', levelOf(held), held.data);
}

function firstFailure({ first, near }: Scene): Verdict | null {
  const { kind, data } = first;
  const code = codeOf(first) ?? codeOf(near.find((entry) => entry.at >= first.at && isFailure(entry) && codeOf(entry) !== null)) ?? '';
  if (kind === 'container.died') {
    const policy = textOf(data, 'restartPolicy');
    const again = policy === null ? '' : `; the engine's restart policy ${policy} starts it again, beside Relight`;
    return verdictOf(`${containerExit(data)}${lastWords(first, near)}${again}`, code || 'container-exited', 'container', data);
  }
  if (kind === 'process.exited') {
    const specific = near.find((entry) => isFailure(entry) && entry.at >= first.at && ownWords(codeOf(entry)));
    if (specific !== undefined) return verdictOf(plain(specific), codeOf(specific) ?? '', 'process', specific.data);
    const words = `${processExit(data)}${lastWords(first, near)}`;
    return verdictOf(words, code || 'process-exited', 'process', data['exitCode'] === 0 ? { advice: endedWell } : data);
  }
  return verdictOf(plain(first), code, levelOf(first), data);
}

const endedWell =
  'Read its last lines: relight tail HOST/WORKLOAD --source process. One that goes into the background counts as ended: keep it in the foreground (ray start --block).';

/** Codes that say more than that something ended. */
const ownWords = (code: string | null): boolean =>
  code !== null && !['process-exited', 'container-exited', 'ready-timeout', 'start-deadline', 'live-failed'].includes(code);

const raised = (entries: readonly TimelineEntry[]): readonly TimelineEntry[] =>
  entries.filter(({ kind, data }) => kind === 'host.notice' && typeof data['condition'] === 'string' && data['state'] !== 'cleared');

function conditionVerdict(notice: TimelineEntry, level: Level): Verdict {
  return verdictOf(plain(notice), textOf(notice.data, 'code') ?? String(notice.data['condition']), level, notice.data);
}

const codeOf = (entry: TimelineEntry | undefined): string | null => (entry === undefined ? null : textOf(entry.data, 'code'));

function levelOf({ kind, data }: TimelineEntry): Level {
  const { level } = data;
  if (level === 'process' || level === 'container' || level === 'host') return level;
  if (kind.startsWith('container.')) return 'container';
  if (kind.startsWith('host.') || kind.startsWith('engine.')) return 'host';
  return kind === 'workload.held' ? 'container' : 'process';
}

/** What failed, without when it is tried again. */
const plain = ({ data, message }: TimelineEntry): string => textOf(data, 'failure') ?? message;

function lastPart(message: string): string {
  return message.includes(': ') ? message.slice(message.indexOf(': ') + 2) : message;
}

function afterColon(message: string, start: string): string {
  return message.includes(': ') ? `${start}: ${lastPart(message)}` : start;
}

function verdictOf(cause: string, code: string, level: Level, data: Readonly<Record<string, unknown>> = {}): Verdict {
  const given = data['advice'];
  const known = Object.hasOwn(catalogue, code) ? catalogue[code as ErrorCode].advice : '';
  return { cause, code, level, advice: typeof given === 'string' && given !== '' ? given : known };
}
