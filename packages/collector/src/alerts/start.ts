/**
 * Rules at work: watches the fleet and the committed events, and stores every change of an alert together with its
 * notifications in one transaction. One evaluation at a time; what happens meanwhile waits for the next one.
 */
import { isoTime } from '@relight/shared/api';
import type { Clock, Timer } from '@relight/shared/clock';
import { errorMessage } from '@relight/shared/errors';
import type { MetricFamily } from '../api/metrics-text.ts';
import type { Bus } from '../bus.ts';
import type { Fleet } from '../fleet.ts';
import type { Store, StoredEvent } from '../store/store.ts';
import { alertKey } from './condition.ts';
import type { AlertsConfig } from '../config.ts';
import { evaluate, type AlertChange, type AlertsState } from './evaluate.ts';
import { restartEventKinds, restartFact, type RestartFact } from './repeated-restarts.ts';
import { restore } from './restore.ts';
import { fallOf, keepFallMs, type Fall } from './slice-falls.ts';
import { alertmanagerAddress, alertmanagerSink } from './sinks/alertmanager.ts';
import { startDelivery, type DeliveryLogger } from './sinks/delivery.ts';
import { formerSinkNames, sinkNames } from './sinks/sink-name.ts';
import type { Sink } from './sinks/sink.ts';
import { waitingMetrics } from './sinks/waiting-metrics.ts';
import { webhookSink } from './sinks/webhook.ts';
import { tellingOf } from './telling.ts';

export interface AlertsDeps {
  readonly store: Store;
  readonly bus: Bus;
  readonly fleet: Fleet;
  readonly clock: Clock;
  readonly logger: DeliveryLogger;
  readonly config: AlertsConfig;
  /** [0, 1), for the jitter of retries. */
  readonly random?: () => number;
  /** Where people find this collector; Alertmanager's `externalURL`. */
  readonly externalUrl?: string;
}

/** Host states change by the second; nothing here needs to be faster. Restarts are judged at once. */
const evaluateEveryMs = 1_000;
const pageSize = 1_000;
const firingMax = 1_000_000;
/** Each with its story, at a start. */
const incidentsMax = 10_000;

export function startAlerts(deps: AlertsDeps): { families(): MetricFamily[]; close(): Promise<void> } {
  const addresses = deps.config.sinks.map(({ type, url }) => (type === 'alertmanager' ? alertmanagerAddress(url) : url));
  const names = sinkNames(addresses);
  const sinks = deps.config.sinks.map(({ type }, index) => {
    const make = type === 'alertmanager' ? alertmanagerSink : webhookSink;
    return make(names[index] ?? '', addresses[index] ?? '', deps.externalUrl ?? '');
  });
  const formerNames = formerSinkNames(addresses).map((from, index) => ({ from, to: names[index] ?? '' }));
  const delivery = startDelivery({ ...deps, sinks, formerNames });
  const keeper = new AlertKeeper(deps, sinks, () => delivery.wake());
  const waiting = deps.config.sinks.map(({ url }, index) => ({ name: sinks[index]?.name ?? '', url }));
  return {
    families: () => waitingMetrics(deps.store, waiting, deps.clock.now()),
    async close() {
      await keeper.close();
      await delivery.close();
    },
  };
}

class AlertKeeper {
  readonly #deps: AlertsDeps;
  readonly #sinks: readonly Sink[];
  readonly #announced: () => void;
  readonly #subscriptions: readonly { dispose(): void }[];
  #state: AlertsState;
  #facts: RestartFact[] = [];
  #falls: Fall[] = [];
  #work: Promise<void> | null = null;
  #timer: Timer | null = null;
  #closed = false;

  constructor(deps: AlertsDeps, sinks: readonly Sink[], announced: () => void) {
    this.#deps = deps;
    this.#sinks = sinks;
    this.#announced = announced;
    this.#state = load(deps, (event) => this.#fact(event));
    this.#subscriptions = [
      deps.bus.subscribe('events', (events) => this.#observe(events)),
      deps.bus.subscribe('incident', (incident) => void this.#falls.push(fallOf(incident))),
    ];
    this.#wake();
  }

  #fact(event: StoredEvent): RestartFact | undefined {
    return restartFact(event, this.#deps.fleet.host(event.host)?.clockSkewMs ?? 0);
  }

  #observe(events: readonly StoredEvent[]): void {
    const facts = events.map((event) => this.#fact(event)).filter((fact) => fact !== undefined);
    this.#facts.push(...facts);
    if (facts.length > 0) this.#wake();
  }

  #wake(): void {
    if (this.#work !== null || this.#closed) return;
    this.#timer?.cancel();
    this.#work = this.#evaluate().then(() => {
      this.#work = null;
      if (this.#facts.length > 0) return this.#wake();
      if (!this.#closed) this.#timer = this.#deps.clock.after(evaluateEveryMs, () => this.#wake());
    });
  }

  /** An alert moves on only with the store: what could not be stored is found changed again a second later. */
  async #evaluate(): Promise<void> {
    const { fleet, clock, config, logger } = this.#deps;
    const restarts = this.#facts;
    const falls = this.#falls;
    this.#facts = [];
    this.#falls = [];
    const before = this.#state.firing;
    const hosts = new Map(fleet.hosts().map((host) => [host.name, host]));
    const { state, changes } = evaluate(this.#state, { hosts, restarts, falls, now: clock.now() }, config);
    const firing = new Map(state.firing);
    await Promise.all(
      changes.map(async (change) => {
        try {
          await this.#commit(change, tellingOf(before.get(alertKey(change.alert))).told);
        } catch (error) {
          const key = alertKey(change.alert);
          const previous = before.get(key);
          if (previous === undefined) firing.delete(key);
          else firing.set(key, previous);
          logger.error({ err: error, alert: change.alert.id }, `an alert could not be stored, trying again: ${errorMessage(error)}`);
        }
      }),
    );
    this.#state = { ...state, firing };
    if (changes.some((change) => change.notify)) this.#announced();
  }

  /** The event comes first: killed in between, the change is made again and its event is there twice, never missing. */
  async #commit({ alert, transition, notify }: AlertChange, told: string | null): Promise<void> {
    const { store, bus, clock } = this.#deps;
    const now = clock.now();
    if (transition !== 'updated') {
      const { host, workload, severity, summary, rule, id, startsAt } = alert;
      const kind = transition === 'resolved' ? 'alert.resolved' : 'alert.firing';
      const data = { alertId: id, rule, severity, startsAt: isoTime(startsAt) };
      const event = { at: now, host, workload, generation: null, kind, message: `${rule}: ${summary}`, data } as const;
      const stored = await store.commitOwnEvent({ ...event, severity: transition === 'resolved' ? 'info' : severity });
      bus.publish('events', [stored]);
    }
    const notifications = notify ? this.#sinks.map((sink) => ({ sink: sink.name, body: sink.format(alert, { told, at: now }) })) : [];
    await store.putAlert(alert, notifications, now);
    bus.publish('alert', alert);
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const subscription of this.#subscriptions) subscription.dispose();
    this.#timer?.cancel();
    await this.#work;
  }
}

/** What fires, what ended within the windows, the restarts since, and what may still take a slice down. */
function load(deps: AlertsDeps, fact: (event: StoredEvent) => RestartFact | undefined): AlertsState {
  const { store, clock, config } = deps;
  const { warning, critical, resolveAfterMs } = config.repeatedRestarts;
  const since = clock.now() - Math.max(warning.withinMs, critical.withinMs) - resolveAfterMs;
  const firing = store.alerts({ state: 'firing', limit: firingMax });
  const resolved = store.alerts({ state: 'resolved', limit: pageSize }).filter((alert) => (alert.endsAt ?? 0) >= since);
  const facts: RestartFact[] = [];
  for (let after: number | undefined = 0; after !== undefined;) {
    const page: readonly StoredEvent[] = store.events({ kinds: restartEventKinds, since, after, limit: pageSize });
    facts.push(...page.map(fact).filter((found) => found !== undefined));
    after = page.length < pageSize ? undefined : page.at(-1)?.id;
  }
  const incidents = store.incidents({ since: clock.now() - keepFallMs, limit: incidentsMax });
  return restore([...firing, ...resolved], facts, incidents.map(fallOf).toReversed(), config.repeatedRestarts);
}
