/** Hosts whose agent comes and is not let in: their records say so until it is. */
import type { Clock } from '@relight/shared/clock';
import { agentRefusedName } from '@relight/shared/status';
import type { TokenRecord } from '../store/store.ts';
import type { HelloRefusal } from './common-protocol.ts';
import type { HostBook, HostEntry } from './host-book.ts';
import { ownNews, withRefusal } from './host-record.ts';

export type OwnNews = NonNullable<ReturnType<typeof ownNews>>;

export class RefusedAgents {
  readonly #book: HostBook;
  readonly #clock: Clock;
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
    entry.record = { ...entry.record, conditions };
    // Whoever sends another unreadable hello each time must not cause a write to the disk each time.
    this.#book.changed(entry, news !== null);
    if (news !== null) this.#tell(entry, news);
  }
}
