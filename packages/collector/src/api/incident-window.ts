/** Which incidents are open, and what became of those that ended within a day: kept as they come, because nobody can read them all at every look. Pure. */
import type { IncidentOutcome, IncidentPlace } from '../store/store.ts';

const minuteMs = 60_000;
const dayMs = 86_400_000;
/** A workload has one open, and a host that is gone for good may have left one. */
const openMax = 100_000;

type Open = Pick<IncidentOutcome, 'host' | 'id' | 'workload' | 'code' | 'openedAt'>;

interface Ended {
  total: number;
  alone: number;
}

const placeOf = ({ host, workload }: Pick<Open, 'host' | 'workload'>): string => `${host}\0${workload ?? ''}`;

export class IncidentWindow {
  /** By host and workload: as good as always one. */
  readonly #open = new Map<string, readonly Open[]>();
  /** Of workloads, by the minute of their end. */
  readonly #ended = new Map<number, Ended>();

  /** As it is stored. One that has ended is to be given once. */
  put(outcome: IncidentOutcome): void {
    const others = this.#othersOf(outcome);
    this.#keep(outcome, outcome.closedAt === null ? [...others, outcome] : others);
    if (outcome.closedAt !== null) this.#end(outcome, outcome.closedAt, outcome.alone);
  }

  /** An open one that is not stored any more. */
  remove(gone: IncidentPlace): void {
    this.#keep(gone, this.#othersOf(gone));
  }

  /** Code of the cause of each that is open. */
  *openCodes(): Generator<string> {
    for (const here of this.#open.values()) for (const { code } of here) yield code;
  }

  /** 1 when there were none. @param now epoch milliseconds */
  successRatio(now: number): number {
    let [total, alone] = [0, 0];
    for (const [minute, ended] of this.#ended) {
      if (minute < Math.floor((now - dayMs) / minuteMs)) this.#ended.delete(minute);
      else [total, alone] = [total + ended.total, alone + ended.alone];
    }
    for (const here of this.#open.values()) total += here.filter(({ workload }) => workload !== null).length;
    return total === 0 ? 1 : alone / total;
  }

  #othersOf(outcome: IncidentPlace): readonly Open[] {
    return (this.#open.get(placeOf(outcome)) ?? []).filter(({ id }) => id !== outcome.id);
  }

  #keep(at: IncidentPlace, here: readonly Open[]): void {
    const place = placeOf(at);
    if (here.length === 0) {
      this.#open.delete(place);
      return;
    }
    this.#open.set(
      place,
      here.map(({ host, id, workload, code, openedAt }) => ({ host, id, workload, code, openedAt })),
    );
    const oldest = this.#open.size > openMax ? this.#open.keys().next().value : undefined;
    if (oldest !== undefined) this.#open.delete(oldest);
  }

  #end({ workload, receivedAt }: Pick<IncidentOutcome, 'workload' | 'receivedAt'>, closedAt: number, alone: boolean): void {
    if (workload === null) return;
    // A host's clock may be anywhere.
    const minute = Math.floor(Math.min(closedAt, receivedAt) / minuteMs);
    const ended = this.#ended.get(minute) ?? { total: 0, alone: 0 };
    ended.total += 1;
    if (alone) ended.alone += 1;
    this.#ended.set(minute, ended);
  }
}
