/** Hosts whose agent comes and is not let in: their records say so until it is. */
import type { Clock } from '@relight/shared/clock';
import { agentRefusedName } from '@relight/shared/status';
import type { TokenRecord } from '../store/store.ts';
import type { HelloRefusal } from './common-protocol.ts';
import type { HostBook, HostEntry } from './host-book.ts';
import { ownNews, withRefusal, type OwnNews } from './host-record.ts';

/** An agent tries again every 30 s; whoever says something else each time is heard so often and no more, or each try would be a write of an alert. */
const rewordMs = 60_000;

export class RefusedAgents {
  readonly #book: HostBook;
  readonly #clock: Clock;
  /** When the reason was last worded, on the monotonic clock. */
  readonly #wordedAt = new WeakMap<HostEntry, number>();
  readonly #tell: (entry: HostEntry, news: OwnNews) => void;

  constructor(book: HostBook, clock: Clock, tell: (entry: HostEntry, news: OwnNews) => void) {
    this.#book = book;
    this.#clock = clock;
    this.#tell = tell;
  }

  /** Which host that is, its token says, or, with one for any host, the hello. */
  refused({ host, agentId }: Pick<TokenRecord, 'host' | 'agentId'>, refusal: HelloRefusal): void {
    const entry = this.#book.get(host ?? refusal.greeting?.host ?? '');
    // Of a host that is connected it is not the agent, whoever it is.
    if (entry === undefined || entry.session !== null) return;
    // The machine that this one has replaced, say: it goes on with its token, which was revoked.
    if (agentId !== null && entry.record.agentId !== null && agentId !== entry.record.agentId) return;
    this.#becomes(entry, refusal);
  }

  arrived(entry: HostEntry): void {
    this.#becomes(entry, null);
  }

  #becomes(entry: HostEntry, refusal: HelloRefusal | null): void {
    const before = entry.record.conditions;
    const conditions = withRefusal(before, refusal, this.#clock.now());
    if (conditions === null) return;
    const news = ownNews(agentRefusedName, before, conditions);
    const now = this.#clock.monotonic();
    if (news === null && now - (this.#wordedAt.get(entry) ?? -Infinity) < rewordMs) return;
    this.#wordedAt.set(entry, now);
    entry.record = { ...entry.record, conditions };
    // Another wording is no change of the host's state: it is written with the next one.
    this.#book.changed(entry, news !== null);
    if (news !== null) this.#tell(entry, news);
  }
}
