/**
 * Watches the kernel log: killings for want of memory go to whoever's container it was, trouble of the host becomes its conditions,
 * and the last records are kept for incidents. A look costs one failing read() when nothing was said.
 */
import { onBeat } from '@relight/shared/beat';
import type { Clock, Timer } from '@relight/shared/clock';
import { errorMessage } from '@relight/shared/errors';
import type { ReportedCondition } from '../condition-diff.ts';
import { interpret, noContext, type KernelContext } from './facts.ts';
import { mountedAt, remember, timedCondition, withoutRemounted, withoutUnmounted, type TimedCondition } from './host-facts.ts';
import type { BlockMount } from './block-mounts.ts';
import type { OomFact } from './oom.ts';
import { lost, type KernelLogReader } from './reader.ts';
import { parseKernelRecord } from './record.ts';
import type { XidFact } from './xid.ts';

/** The engine's own event of a killing asks for a look at once; this is for everything else. */
const lookMs = 1_000;
const betweenPartsMs = 5;
/** Without a word the conditions still run out, and a remounted file system is still found. */
const reviewMs = 10_000;
const keptRecords = 500;
const keptTextMax = 1_000;
/** A storm of records must not stop everything else: the rest is read with the next look. */
const perLookMax = 2_000;

/** A record with the wall-clock time at which it was written, as good as the kernel's clock is. Epoch milliseconds. */
export interface KernelLine {
  readonly at: number;
  readonly level: number;
  readonly text: string;
}

export interface KernelLogOptions {
  readonly clock: Clock;
  /** Throws when there is none, or no right to read it. */
  readonly open: () => KernelLogReader;
  /** Microseconds since boot, on the kernel's monotonic clock. */
  readonly bootUs: () => number;
  /** Where block devices are mounted now. */
  readonly blockMounts: () => readonly BlockMount[];
  readonly onOom: (fact: OomFact, at: number) => void;
  /** Also told of what this boot has said before the agent came (`history`): a card that is off the bus still is. */
  readonly onXid: (fact: XidFact, at: number, history: boolean) => void;
  readonly report: (conditions: readonly ReportedCondition[]) => void;
  /** Once, when the log cannot be read. */
  readonly onUnreadable: (reason: string) => void;
}

export class KernelLog {
  readonly #options: KernelLogOptions;
  readonly #lines: KernelLine[] = [];
  #reader: KernelLogReader | null = null;
  #timer: Timer | null = null;
  #context: KernelContext = noContext;
  #conditions: readonly TimedCondition[] = [];
  #reviewedAt = Number.NEGATIVE_INFINITY;
  /** What was said before the agent came is history: it may still be true of the host, but no process is killed again. */
  #history = true;
  #lost = 0;

  constructor(options: KernelLogOptions) {
    this.#options = options;
  }

  start(): void {
    try {
      this.#reader = this.#options.open();
    } catch (error) {
      this.#options.onUnreadable(errorMessage(error));
      return;
    }
    this.#tick();
  }

  dispose(): void {
    this.#timer?.cancel();
    this.#reader?.close();
    this.#reader = null;
  }

  /** Reads what is there now, or the next part of it. True: all has been read, or nothing can be read any more, which is told. */
  look(): boolean {
    try {
      return this.#reader === null || this.#read(this.#reader);
    } catch (error) {
      this.dispose();
      this.#options.onUnreadable(errorMessage(error));
      return true;
    }
  }

  #read(reader: KernelLogReader): boolean {
    const found: TimedCondition[] = [];
    let drained = false;
    for (let i = 0; i < perLookMax && !drained; i += 1) {
      const raw = reader.next();
      if (raw === null) drained = true;
      else if (raw === lost) this.#lost += 1;
      else this.#record(raw, found);
    }
    if (drained) this.#history = false;
    this.#review(found);
    return drained;
  }

  /** Oldest first. `since`: epoch milliseconds. */
  lines(since = Number.NEGATIVE_INFINITY): readonly KernelLine[] {
    return this.#lines.filter(({ at }) => at >= since);
  }

  get readable(): boolean {
    return this.#reader !== null;
  }

  /** How often records were overwritten before they could be read. */
  get lost(): number {
    return this.#lost;
  }

  #tick(): void {
    const drained = this.look();
    if (this.#reader === null) return;
    // The log of a long boot is read in parts, one right after the other: until then everything in it counts as history.
    const { clock } = this.#options;
    const tick = (): void => this.#tick();
    this.#timer = drained ? onBeat(clock, lookMs, tick) : clock.after(betweenPartsMs, tick);
  }

  #record(raw: string, found: TimedCondition[]): void {
    const record = parseKernelRecord(raw);
    if (record === null) return;
    const { clock, bootUs, onOom, onXid, blockMounts } = this.#options;
    const ageMs = Math.max(0, (bootUs() - record.bootUs) / 1_000);
    // What has just been read was written just now, whatever the two clocks make of it.
    const at = this.#history ? Math.round(clock.now() - ageMs) : clock.now();
    this.#lines.push({ at, level: record.level, text: record.text.slice(0, keptTextMax) });
    if (this.#lines.length > 2 * keptRecords) this.#lines.splice(0, this.#lines.length - keptRecords);
    const { context, fact } = interpret(this.#context, record);
    this.#context = context;
    if (fact === null) return;
    if (fact.kind === 'oom' && !this.#history) onOom(fact, at);
    if (fact.kind === 'xid') onXid(fact, at, this.#history);
    if (fact.kind === 'unmounted') {
      this.#conditions = withoutUnmounted(this.#conditions, fact.device);
      found.splice(0, found.length, ...withoutUnmounted(found, fact.device));
      // Said with the next review, which is now.
      this.#reviewedAt = Number.NEGATIVE_INFINITY;
      return;
    }
    const timed = timedCondition(fact, at);
    if (timed !== null) found.push(mountedAt(timed, blockMounts));
  }

  #review(found: readonly TimedCondition[]): void {
    const { clock, report, blockMounts } = this.#options;
    const now = clock.monotonic();
    if (found.length === 0 && now - this.#reviewedAt < reviewMs) return;
    this.#reviewedAt = now;
    const remembered = remember(this.#conditions, found, clock.now());
    const readOnly = remembered.some(({ condition }) => condition.name === 'read-only-filesystem');
    this.#conditions = readOnly ? withoutRemounted(remembered, blockMounts()) : remembered;
    report(this.#conditions.map(({ condition }) => condition));
  }
}
