/**
 * Decides when evidence is gathered, and how much of it: everything for the first failures, the last lines only for those
 * that come close behind them, and nothing for the thirtieth of a crash loop. Nobody waits for it, except whoever wants to
 * remove what it still reads.
 */
import type { Clock } from '@relight/shared/clock';
import type { EvidenceItem, Incident } from '@relight/shared/incident';
import { gatherEvidence, type EvidenceSource, type Subject } from './evidence.ts';
import type { BookEvent } from './timeline.ts';

export interface GathererOptions {
  readonly clock: Clock;
  readonly sources: readonly EvidenceSource[];
  readonly redact: (text: string) => string;
  /** The workload's container as it is known now; null: there is none. */
  readonly containerOf: (workload: string) => Subject['container'];
  readonly found: (incident: string, item: Omit<EvidenceItem, 'bytes'>, text: string | null) => void;
}

/** Failures of one workload within `windowMs`: so many with everything, so many more with their last lines. */
const windowMs = 10 * 60_000;
const completeMax = 3;
const lightMax = 10;
const lines = 500;
const lightLines = 50;
/** Half of it for what is urgent. */
const bytesMax = 512 * 1024;
const lightBytesMax = 64 * 1024;
/** Later in the same incident: what another failure has to say is worth its last lines. */
const againMs = 5_000;
const startsAgain: ReadonlySet<BookEvent['kind']> = new Set(['container.died', 'process.exited', 'workload.held']);

type Amount = 'complete' | 'light' | 'none';

/** The last gathering for an incident, and how many there were. */
interface Seen {
  readonly at: number;
  readonly count: number;
  readonly kind: BookEvent['kind'];
}

export class Gatherer {
  readonly #options: GathererOptions;
  /** When evidence was gathered, by workload; monotonic. */
  readonly #past = new Map<string, number[]>();
  /** By incident. */
  readonly #seen = new Map<string, Seen>();
  /** By workload: until when, and which containers are read. */
  readonly #busy = new Map<string, { readonly containerIds: readonly string[]; readonly done: Promise<void> }>();

  constructor(options: GathererOptions) {
    this.#options = options;
  }

  /** For every event of an open incident. Returns at once. */
  consider(incident: Incident, event: BookEvent): void {
    const now = this.#options.clock.monotonic();
    const seen = this.#seen.get(incident.id);
    if (seen === undefined) {
      this.#remember(incident.id, { at: now, count: 1, kind: event.kind });
      this.#first(incident, event, now);
      return;
    }
    // Another failure on the way: once, with its last lines.
    const news = startsAgain.has(event.kind) && (event.kind !== seen.kind || now - seen.at >= againMs);
    if (seen.count > 1 || !news) return;
    if ((this.#past.get(incident.workload ?? '')?.length ?? 0) > completeMax) return;
    this.#remember(incident.id, { ...seen, at: now, count: 2 });
    this.#start(incident, event, 'light', '@later');
  }

  #first(incident: Incident, event: BookEvent, now: number): void {
    const key = incident.workload ?? '';
    const amount = this.#amount(key, now);
    if (amount !== 'complete') this.#leaveNote(incident.id, key, amount);
    if (amount !== 'none') this.#start(incident, event, amount, '');
  }

  /** What is urgent at once; the rest of one workload after the other. */
  #start(incident: Incident, event: BookEvent, amount: Amount, suffix: string): void {
    const key = incident.workload ?? '';
    const subject = this.#subject(incident, event, amount);
    const urgent = this.#gather(incident.id, subject, amount, suffix, ({ afterMs }) => afterMs === 0);
    const before = this.#busy.get(key) ?? { containerIds: [], done: Promise.resolve() };
    const rest = before.done.then(() => this.#gather(incident.id, subject, amount, suffix, ({ afterMs }) => afterMs > 0));
    const done = Promise.all([urgent, rest]).then(() => undefined);
    const entry = { containerIds: [...before.containerIds, subject.container?.id ?? ''], done };
    this.#busy.set(key, entry);
    void done.then(() => (this.#busy.get(key) === entry ? this.#busy.delete(key) : false));
  }

  /** Resolves when nothing of this container is being read any more. */
  async captured(containerId: string): Promise<void> {
    await Promise.all([...this.#busy.values()].filter(({ containerIds }) => containerIds.includes(containerId)).map(({ done }) => done));
  }

  #subject({ workload, generation }: Incident, event: BookEvent, amount: Amount): Subject {
    const named = event.data['containerId'];
    const known = workload === null ? null : this.#options.containerOf(workload);
    const container = typeof named === 'string' && named !== known?.id ? { id: named, pid: 0 } : known;
    return { workload, generation: event.generation ?? generation, container, lines: amount === 'complete' ? lines : lightLines };
  }

  #gather(id: string, subject: Subject, amount: Amount, suffix: string, which: (source: EvidenceSource) => boolean): Promise<void> {
    const { clock, sources, redact, found } = this.#options;
    return gatherEvidence(subject, {
      clock,
      redact,
      sources: sources.filter((source) => which(source) && (amount === 'complete' || source.light)),
      bytesMax: (amount === 'complete' ? bytesMax : lightBytesMax) / 2,
      found: (item, text) => found(id, { ...item, name: item.name + suffix }, text),
    });
  }

  #amount(key: string, now: number): Amount {
    const past = (this.#past.get(key) ?? []).filter((at) => now - at < windowMs);
    this.#past.set(key, [...past, now].slice(-lightMax - 1));
    if (past.length < completeMax) return 'complete';
    return past.length < lightMax ? 'light' : 'none';
  }

  #leaveNote(id: string, key: string, amount: Amount): void {
    const failures = this.#past.get(key)?.length ?? 0;
    const many = failures > lightMax ? `more than ${lightMax}` : String(failures);
    const left = amount === 'light' ? 'only the last lines were kept' : 'nothing was gathered';
    this.#options.found(
      id,
      { name: 'note', title: 'why there is little evidence', at: this.#options.clock.now() },
      `${left}: ${many} failures within ${windowMs / 60_000} minutes; those before it have everything`,
    );
  }

  #remember(id: string, seen: Seen): void {
    this.#seen.set(id, seen);
    for (const [old] of [...this.#seen].slice(0, -100)) this.#seen.delete(old);
  }
}
