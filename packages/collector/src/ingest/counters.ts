/** What ingest has done since the process began, for /metrics. Counts what the store has answered, not what was sent. */
import type { Clock } from '@relight/shared/clock';
import type { MetricFamily, MetricSample } from '../api/metrics-text.ts';
import type { LogCommit, Store } from '../store/store.ts';
import { Histogram } from './histogram.ts';

const refusals = ['not-found', 'protocol', 'unauthorized', 'forbidden', 'too-many-failures', 'overloaded'] as const;
export type Refusal = (typeof refusals)[number];

/** From one fsync of a good disk to a store in trouble. */
const commitBucketsSeconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];

type CommittingStore = Pick<Store, 'commitEvents' | 'commitBlock' | 'commitGap'>;

export class IngestCounters {
  readonly #frames = { text: 0, binary: 0 };
  readonly #refused = new Map<Refusal, number>(refusals.map((code) => [code, 0]));
  readonly #duplicates = { event: 0, piece: 0 };
  readonly #commits = new Histogram(commitBucketsSeconds);
  #receivedBytes = 0;
  #sessions = 0;
  #events = 0;
  #blocks = 0;
  #lines = 0;
  #bytes = 0;
  #gaps = 0;
  #rewinds = 0;
  #failures = 0;
  #unread = 0;

  received(bytes: number, binary: boolean): void {
    this.#frames[binary ? 'binary' : 'text'] += 1;
    this.#receivedBytes += bytes;
  }

  opened(): void {
    this.#sessions += 1;
  }

  refused(code: Refusal): void {
    this.#refused.set(code, (this.#refused.get(code) ?? 0) + 1);
  }

  /** A connection was ended because its agent did not read. */
  unread(): void {
    this.#unread += 1;
  }

  /** The same store, every commit counted and timed. */
  watch<S extends CommittingStore>(store: S, clock: Clock): S {
    const timed = async <T>(commit: () => Promise<T>, count: (result: T) => void): Promise<T> => {
      const began = clock.monotonic();
      try {
        const result = await commit();
        count(result);
        return result;
      } catch (error) {
        this.#failures += 1;
        throw error;
      } finally {
        this.#commits.observe((clock.monotonic() - began) / 1_000);
      }
    };
    return {
      ...store,
      commitEvents: (...args) =>
        timed(
          () => store.commitEvents(...args),
          ({ stored }) => {
            this.#events += stored.length;
            this.#duplicates.event += args[3].length - stored.length;
          },
        ),
      commitBlock: (...args) => {
        // The body moves to the writing thread: what is counted later is read now.
        const { lines, rawBytes } = args[2].header;
        return timed(
          () => store.commitBlock(...args),
          (result) => {
            if (!this.#isNew(result)) return;
            this.#blocks += 1;
            this.#lines += lines;
            this.#bytes += rawBytes;
          },
        );
      },
      commitGap: (...args) =>
        timed(
          () => store.commitGap(...args),
          (result) => {
            if (this.#isNew(result)) this.#gaps += 1;
          },
        ),
    };
  }

  #isNew({ stored, rewind }: LogCommit): boolean {
    if (rewind) this.#rewinds += 1;
    else if (!stored) this.#duplicates.piece += 1;
    return stored;
  }

  /** `now`: what only the gateway can tell. */
  families(now: { readonly connections: number; readonly pending: number }): MetricFamily[] {
    const duplicates = Object.entries(this.#duplicates).map(([kind, value]) => ({ labels: { kind }, value }));
    const frames = Object.entries(this.#frames).map(([frame, value]) => ({ labels: { frame }, value }));
    const refused = [...this.#refused].map(([code, value]) => ({ labels: { code }, value }));
    return [
      gauge('connections', 'Open connections of agents.', now.connections),
      gauge('queue_messages', 'Messages received and not committed yet.', now.pending),
      counter('sessions_total', 'Connections of agents that were let in.', this.#sessions),
      counter(
        'rejected_upgrades_total',
        'Connections of agents that were refused, when they came or upon their hello, by reason.',
        refused,
      ),
      counter('unread_total', 'Connections of agents that were ended because they did not read what they were sent.', this.#unread),
      counter('messages_total', 'Frames received from agents.', frames),
      counter('received_bytes_total', 'Bytes received from agents, as they came.', this.#receivedBytes),
      counter('events_total', 'Events stored.', this.#events),
      counter('blocks_total', 'Log blocks stored.', this.#blocks),
      counter('lines_total', 'Log lines stored.', this.#lines),
      counter('bytes_total', 'Bytes of log text stored, before compression.', this.#bytes),
      counter('gaps_total', 'Counted holes in logs stored.', this.#gaps),
      counter('duplicates_total', 'Events and log pieces that were there already.', duplicates),
      counter('rewinds_total', 'Log pieces that did not fit what is committed, so that the agent was sent back.', this.#rewinds),
      counter('commit_failures_total', 'Writes that the store did not take; they are tried again.', this.#failures),
      {
        name: 'relight_ingest_commit_duration_seconds',
        help: 'Time from handing a write to the store to its durable commit.',
        type: 'histogram',
        samples: this.#commits.samples(),
      },
    ];
  }
}

function counter(name: string, help: string, value: number | MetricSample[]): MetricFamily {
  return { name: `relight_ingest_${name}`, help, type: 'counter', samples: typeof value === 'number' ? [{ value }] : value };
}

function gauge(name: string, help: string, value: number): MetricFamily {
  return { name: `relight_ingest_${name}`, help, type: 'gauge', samples: [{ value }] };
}
