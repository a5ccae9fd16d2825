/** The live picture: a snapshot, then every change as server-sent events `host`, `workload`, `alert` and `event`. */
import { eventKinds, severities } from '@relight/shared/event';
import { isWatched } from '@relight/shared/phase';
import { delay } from '@relight/shared/clock';
import { matchesSelector } from '@relight/shared/selector';
import type { WorkloadStatus } from '@relight/shared/status';
import * as z from 'zod';
import type { AlertRecord, HostRecord, StoredEvent } from '../store/store.ts';
import { selector } from './fields.ts';
import { presentAlert, presentEvent, presentHost, presentWorkload } from './present.ts';
import { route, type ApiDeps, type Route } from './route.ts';
import type { SseMessage } from '../sse-text.ts';
import type { OpenStreams } from './sse.ts';

const query = z.strictObject({
  host: z.array(z.string()).optional(),
  workload: z.array(z.string()).optional(),
  label: selector.optional(),
  kind: z.array(z.enum(eventKinds)).optional().meta({ description: 'Of events.' }),
  severity: z.array(z.enum(severities)).optional().meta({ description: 'Of events and alerts.' }),
});
type StreamQuery = z.output<typeof query>;

/** Changes of this long are sent together, hosts and workloads only in their newest state. */
const gatherMs = 50;
const eventsMax = 10_000;
const alertsMax = 10_000;
const missedPage = 500;

/** What changed since the last send. Bounded by the size of the fleet; events beyond eventsMax are dropped, oldest first, and counted. */
class Changes {
  readonly #deps: ApiDeps;
  readonly #query: StreamQuery;
  readonly #sent = new Map<string, HostRecord>();
  #hosts = new Set<string>();
  #alerts = new Map<string, AlertRecord>();
  #events: StoredEvent[] = [];
  #dropped = 0;
  #filled = Promise.withResolvers<void>();
  /** Events up to this id were read from the store. */
  seen = 0;

  constructor(deps: ApiDeps, query: StreamQuery) {
    this.#deps = deps;
    this.#query = query;
  }

  host(name: string): void {
    this.#hosts.add(name);
    this.wake();
  }
  alert(alert: AlertRecord): void {
    if (!this.#wantsAlert(alert)) return;
    this.#alerts.set(alert.id, alert);
    this.wake();
  }
  events(events: readonly StoredEvent[]): void {
    this.#events.push(...events.filter((event) => this.#wantsEvent(event)));
    const over = this.#events.length - eventsMax;
    if (over > 0) this.#dropped += this.#events.splice(0, over).length;
    this.wake();
  }
  wake(): void {
    this.#filled.resolve();
  }
  filled(): Promise<void> {
    return this.#filled.promise;
  }

  take(): SseMessage[] {
    this.#filled = Promise.withResolvers();
    const messages = this.takeSubjects();
    if (this.#dropped > 0) messages.push({ event: 'gap', data: { gap: { events: this.#dropped, reason: 'slow-reader' } } });
    messages.push(...this.eventMessages(this.#events));
    this.#events = [];
    this.#dropped = 0;
    return messages;
  }

  /** Hosts, workloads and alerts in their newest state. */
  takeSubjects(): SseMessage[] {
    const messages = [...this.#hosts].flatMap((name) => this.#hostMessages(name));
    for (const alert of this.#alerts.values()) messages.push({ event: 'alert', data: presentAlert(alert) });
    this.#hosts = new Set();
    this.#alerts = new Map();
    return messages;
  }

  /** Those behind `seen` that are wanted, in the order of ids: what is committed together may be published in any order. */
  eventMessages(events: readonly StoredEvent[]): SseMessage[] {
    return events
      .filter((event) => event.id > this.seen && this.#wantsEvent(event))
      .toSorted((a, b) => a.id - b.id)
      .map((event) => ({ id: String(event.id), event: 'event', data: presentEvent(event) }));
  }

  #hostMessages(name: string): SseMessage[] {
    const before = this.#sent.get(name);
    const host = this.#deps.fleet.host(name);
    if (host === undefined || !this.#wantsHost(host)) {
      this.#sent.delete(name);
      return before === undefined ? [] : [{ event: 'host', data: { name, deleted: true } }];
    }
    if (host === before) return [];
    this.#sent.set(name, host);
    const messages: SseMessage[] = [{ event: 'host', data: presentHost(host, this.#deps.clock.now()) }];
    const known = new Map<string, WorkloadStatus>(before?.workloads.map((status) => [status.name, status]));
    for (const status of host.workloads) {
      const same = isSameWatch(before, host) && sameWorkload(known.get(status.name), status);
      if (!(this.#query.workload?.includes(status.name) ?? true) || same) continue;
      messages.push({ event: 'workload', data: presentWorkload(host, status) });
    }
    return messages;
  }

  #wantsHost(host: HostRecord): boolean {
    return (this.#query.host?.includes(host.name) ?? true) && matchesSelector(this.#query.label ?? [], host.labels);
  }
  #wantsSubject({ host, workload }: { readonly host: string; readonly workload: string | null }): boolean {
    const { host: hosts, workload: workloads, label } = this.#query;
    if (hosts !== undefined && !hosts.includes(host)) return false;
    if (workloads !== undefined && (workload === null || !workloads.includes(workload))) return false;
    return label === undefined || matchesSelector(label, this.#deps.fleet.host(host)?.labels ?? {});
  }
  #wantsAlert(alert: AlertRecord): boolean {
    return this.#wantsSubject(alert) && (this.#query.severity?.includes(alert.severity) ?? true);
  }
  #wantsEvent(event: StoredEvent): boolean {
    const { kind, severity } = this.#query;
    return this.#wantsSubject(event) && (kind?.includes(event.kind) ?? true) && (severity?.includes(event.severity) ?? true);
  }
}

/** Numbers that move with every sample are in `host`; a `workload` message says that something happened to it. */
function sameWorkload(a: WorkloadStatus | undefined, b: WorkloadStatus): boolean {
  return a !== undefined && JSON.stringify({ ...a, metrics: null }) === JSON.stringify({ ...b, metrics: null });
}

export function streamRoutes(deps: ApiDeps, streams: OpenStreams): readonly Route[] {
  const { bus, store, fleet, clock } = deps;

  /** What stands now, then the events behind `lastEventId`. What happens meanwhile is gathered by `changes`. */
  async function begin(changes: Changes, lastEventId: unknown, send: (messages: readonly SseMessage[]) => Promise<void>): Promise<void> {
    for (const host of fleet.hosts()) changes.host(host.name);
    for (const alert of store.alerts({ state: 'firing', limit: alertsMax })) changes.alert(alert);
    const newest = store.events({ limit: 1, newestFirst: true })[0]?.id ?? 0;
    const resumed = typeof lastEventId === 'string' && /^\d{1,15}$/.test(lastEventId);
    changes.seen = resumed ? Number(lastEventId) : newest;
    await send(changes.takeSubjects());
    for (let missed = store.events({ after: changes.seen, limit: missedPage }); missed.length > 0;) {
      await send(changes.eventMessages(missed));
      changes.seen = missed.at(-1)?.id ?? changes.seen;
      missed = store.events({ after: changes.seen, limit: missedPage });
    }
    await send([{ id: String(changes.seen) }]);
  }

  return [
    route({
      method: 'GET',
      path: '/stream',
      summary:
        'The whole picture, then every change: server-sent events `host`, `workload`, `alert`, `event`. Events resume behind Last-Event-ID.',
      query,
      answers: { status: 200, type: 'text/event-stream', schema: z.unknown() },
      async handle({ query, request, reply }) {
        await streams.run(request, reply, clock, async (connection) => {
          const changes = new Changes(deps, query);
          const subscriptions = [
            bus.subscribe('host', (host) => changes.host(host.name)),
            bus.subscribe('hostDeleted', (name) => changes.host(name)),
            bus.subscribe('alert', (alert) => changes.alert(alert)),
            bus.subscribe('events', (events) => changes.events(events)),
          ];
          connection.signal.addEventListener('abort', () => changes.wake(), { once: true });
          try {
            await begin(changes, request.headers['last-event-id'], (messages) => connection.send(messages));
            while (!connection.signal.aborted) {
              await changes.filled();
              await delay(clock, gatherMs, connection.signal).catch(() => undefined);
              await connection.send(changes.take());
            }
          } finally {
            for (const subscription of subscriptions) subscription.dispose();
          }
        });
        return null;
      },
    }),
  ];
}

const isSameWatch = (before: HostRecord | undefined, host: HostRecord): boolean =>
  before !== undefined && isWatched(before.state) === isWatched(host.state);
