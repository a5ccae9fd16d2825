/** Hosts that send more than they may have stored: their records say so until they have not for a while. */
import type { Clock } from '@relight/shared/clock';
import type { HostCondition } from '@relight/shared/status';
import { overAllowance, overAllowanceName } from '../liveness/over-allowance.ts';
import type { Allowances } from './allowances.ts';
import type { HostBook, HostEntry } from './host-book.ts';
import { ownNews, type OwnNews } from './host-record.ts';

export type HeldBackHosts = Pick<Allowances, 'heldBack' | 'heldBackHosts'>;

export class HeldBackTelling {
  readonly #book: HostBook;
  readonly #clock: Clock;
  readonly #allowances: HeldBackHosts | undefined;
  readonly #tell: (entry: HostEntry, news: OwnNews) => void;
  /** Whose records say it; null: those of an earlier life of the collector may. */
  #told: Set<string> | null = null;

  constructor(
    deps: { readonly clock: Clock; readonly allowances?: HeldBackHosts },
    book: HostBook,
    tell: (entry: HostEntry, news: OwnNews) => void,
  ) {
    this.#book = book;
    this.#clock = deps.clock;
    this.#allowances = deps.allowances;
    this.#tell = tell;
  }

  /** `reported`: by its agent, which cannot know of this one and may not say it: it would be a way to be heard of without an allowance. */
  with(host: string, reported: readonly HostCondition[]): readonly HostCondition[] {
    const held = this.#allowances?.heldBack(host, this.#clock.monotonic()) ?? null;
    const others = reported.filter(({ name }) => name !== overAllowanceName);
    return held === null ? others : [...others, overAllowance(held)];
  }

  /** Called regularly: whoever floods may send no heartbeat. */
  look(): void {
    const told = (this.#told ??= this.#found());
    for (const host of new Set([...told, ...(this.#allowances?.heldBackHosts() ?? [])])) {
      const entry = this.#book.get(host);
      const before = entry?.record.conditions ?? [];
      const conditions = this.with(host, before);
      if (entry !== undefined && conditions.some(isIt)) told.add(host);
      else told.delete(host);
      if (entry === undefined || conditions.some(isIt) === before.some(isIt)) continue;
      entry.record = { ...entry.record, conditions };
      this.#book.changed(entry, true);
      const news = ownNews(overAllowanceName, before, conditions);
      if (news !== null) this.#tell(entry, news);
    }
  }

  #found(): Set<string> {
    const entries = [...this.#book.entries()].filter(({ record }) => record.conditions?.some(isIt) === true);
    return new Set(entries.map(({ record }) => record.name));
  }
}

const isIt = ({ name }: HostCondition): boolean => name === overAllowanceName;
