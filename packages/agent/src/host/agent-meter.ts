/** What the agent measures of itself. Whoever samples the host's metrics asks for it as well: nothing is counted in between. */
import { catchingUp, type AgentMetrics, type CatchingUp } from '@relight/shared/agent-metrics';
import type { Clock } from '@relight/shared/clock';
import type { LogBacklog } from '../logs/log-shipper.ts';
import type { EventBacklog } from '../outbox/outbox.ts';
import { LoopLag } from './loop-lag.ts';
import { present } from './metrics.ts';

/** What others know of themselves; null: there is nothing to know yet, or there is no such thing. */
export interface MeterSources {
  readonly look: () => { readonly endedAt: number; readonly tookMs: number } | null;
  readonly calls: () => { readonly ended: number; readonly failed: number; readonly ms: number };
  /** `readAt`: epoch milliseconds. */
  readonly config: () => { readonly ok: boolean; readonly readAt: number };
  /** `waiting`: events not yet acknowledged. */
  readonly uplink: () => { readonly connects: number; readonly failures: number; readonly waiting: number } | null;
  readonly events: () => EventBacklog;
  readonly logs: () => LogBacklog;
}

type Amounts = Partial<Record<Exclude<keyof AgentMetrics, 'at' | 'configOk'>, number | undefined>>;

export interface ProcessNumbers {
  readonly uptimeMs: number;
  readonly cpuMs: number;
  readonly residentBytes: number;
  readonly heapUsedBytes: number;
}

export function processNumbers(): ProcessNumbers {
  const { user, system } = process.cpuUsage();
  const { rss, heapUsed } = process.memoryUsage();
  return { uptimeMs: process.uptime() * 1_000, cpuMs: (user + system) / 1_000, residentBytes: rss, heapUsedBytes: heapUsed };
}

export class AgentMeter {
  readonly #clock: Clock;
  readonly #sources: MeterSources;
  readonly #numbers: () => ProcessNumbers;
  readonly #lag: LoopLag;
  #last: AgentMetrics | null = null;
  #catchingUp: CatchingUp | null = null;

  constructor(clock: Clock, sources: MeterSources, numbers: () => ProcessNumbers = processNumbers) {
    this.#clock = clock;
    this.#sources = sources;
    this.#numbers = numbers;
    this.#lag = new LoopLag(clock);
  }

  /** As it was last measured; null: not yet. */
  get last(): AgentMetrics | null {
    return this.#last;
  }

  /** What the last two samples of this connection tell; null: nothing old waits, or it becomes no less. */
  get catchingUp(): CatchingUp | null {
    return this.#catchingUp;
  }

  start(): void {
    this.#lag.start();
  }

  dispose(): void {
    this.#lag.dispose();
  }

  measure(): void {
    const now = this.#clock.now();
    const { look, calls, config, uplink } = this.#sources;
    const looked = look();
    const { ended, failed, ms } = calls();
    const { ok, readAt } = config();
    const connection = uplink();
    const lag = this.#lag.take();
    const amounts: Amounts = {
      ...this.#numbers(),
      loopLagMs: lag.longestMs,
      stalledMs: lag.stalledMs,
      lookAgeMs: looked === null ? undefined : this.#clock.monotonic() - looked.endedAt,
      lookMs: looked?.tookMs,
      engineCalls: ended,
      engineErrors: failed,
      engineCallMs: ms,
      configAgeMs: now - readAt,
      connects: connection?.connects,
      connectFailures: connection?.failures,
      ...(connection === null ? {} : this.#waiting(now, connection.waiting)),
    };
    // Neither a clock that was set back nor a rounding error makes anything less than nothing, which nobody would take.
    const sound = Object.entries(amounts).map(([key, value]) => [key, value === undefined ? undefined : Math.max(0, Math.round(value))]);
    const before = this.#last;
    this.#last = { at: now, configOk: ok, ...present(Object.fromEntries(sound) as Record<string, number | undefined>) };
    // As the collector does it, which has a sample of this connection before this one, or none.
    this.#catchingUp = catchingUp(before?.connects === this.#last.connects ? before : null, this.#last);
  }

  /** Of an agent that has nobody to deliver to, nothing waits. */
  #waiting(now: number, events: number): Amounts {
    const queue = this.#sources.events();
    const logs = this.#sources.logs();
    const age = (at: number | null): number | undefined => (at === null ? undefined : now - at);
    return {
      events,
      eventBytes: queue.bytes,
      eventBytesMax: queue.bytesMax,
      oldestEventMs: age(queue.oldestAt),
      eventsDropped: queue.dropped,
      logBytes: logs.bytes,
      logBytesMax: logs.bytesMax,
      logWaitingBytes: logs.waitingBytes,
      oldestLogMs: age(logs.oldestAt),
      sentLines: logs.sentLines,
      sentBytes: logs.sentBytes,
    };
  }
}
