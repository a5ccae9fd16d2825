/**
 * Rules at work: watches the fleet and the committed events, and stores every change of an alert together with its
 * notifications in one transaction. One evaluation at a time; what happens meanwhile waits for the next one.
 */
import { onBeat } from '@relight/shared/beat';
import { isoTime } from '@relight/shared/api';
import type { Clock, Timer } from '@relight/shared/clock';
import { errorMessage } from '@relight/shared/errors';
import type { MetricFamily } from '../api/metrics-text.ts';
import type { Bus } from '../bus.ts';
import type { Allowances } from '../ingest/allowances.ts';
import type { Fleet } from '../fleet.ts';
import type { AlertRecord, Store, StoredEvent } from '../store/store.ts';
import { alertKey } from './condition.ts';
import type { AlertsConfig } from '../config.ts';
import { evaluate, type AlertChange, type AlertsState } from './evaluate.ts';
import { isGathered, type Notice } from './gathering.ts';
import { restartEventKinds, restartFact, type RestartFact } from './repeated-restarts.ts';
import { restore } from './restore.ts';
import { fallOf, keepFallMs, type Fall } from './slice-falls.ts';
import { alertmanagerSink } from './sinks/alertmanager.ts';
import { startDelivery, type DeliveryLogger } from './sinks/delivery.ts';
import { formerSinkNames, sinkNames } from './sinks/sink-name.ts';
import { sinkAddress } from './sinks/sink-address.ts';
import { SinkBook, sinkReports } from './sinks/sink-book.ts';
import type { SinkDesk } from './sinks/sink-desk.ts';
import type { SendResult, Sink } from './sinks/sink.ts';
import { testSinks } from './sinks/test-alert.ts';
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
  /** What a host may raise is stored, and told to people. Absent: any number. */
  readonly allowances?: Pick<Allowances, 'charge' | 'spent'>;
  /** [0, 1), for the jitter of retries. */
  readonly random?: () => number;
  /** Where people find this collector; Alertmanager's `externalURL`. */
  readonly externalUrl?: string;
}

/** Host states change by the second; nothing here needs to be faster. Restarts are judged at once. */
const evaluateEveryMs = 1_000;
/** Of a record and its two events, about. */
const alertBytes = 2_000;
const pageSize = 1_000;
const alertsMax = 1_000_000;
/** Each with its story, at a start. */
const incidentsMax = 10_000;

export interface Alerts {
  readonly desk: SinkDesk;
  /** Those that did not take what was last sent, by their places in the configuration, from 1. Without a look into the store. */
  failingSinks(): readonly number[];
  families(): MetricFamily[];
  close(): Promise<void>;
}

export function startAlerts(deps: AlertsDeps): Alerts {
  const addresses = deps.config.sinks.map(sinkAddress);
  const names = sinkNames(addresses);
  const sinks = deps.config.sinks.map(({ type }, index) => {
    const make = type === 'alertmanager' ? alertmanagerSink : webhookSink;
    return make(names[index] ?? '', addresses[index] ?? '', deps.externalUrl ?? '');
  });
  const formerNames = formerSinkNames(addresses).map((from, index) => ({ from, to: names[index] ?? '' }));
  const book = new SinkBook(deps.clock);
  const onResult = (sink: string, result: SendResult): void => book.note(sink, result);
  const onTestResult = (sink: string, result: SendResult): void => book.noteTest(sink, result, deps.store.pendingNotifications(1, sink)[0]);
  const delivery = startDelivery({ ...deps, sinks, formerNames, onResult });
  const stop = new AbortController();
  const keeper = new AlertKeeper(deps, sinks, () => delivery.wake());
  const waiting = deps.config.sinks.map(({ url }, index) => ({ name: sinks[index]?.name ?? '', url }));
  const known = deps.config.sinks.map(({ type }, index) => ({ name: names[index] ?? '', type }));
  return {
    desk: {
      sinks: () => sinkReports(deps.store, known, book),
      test: (chosen, about) =>
        testSinks(
          { clock: deps.clock, stop: stop.signal, onResult: onTestResult },
          chosen.flatMap((at) => sinks[at] ?? []),
          about,
        ),
    },
    failingSinks: () => names.flatMap((name, index) => (book.of(name).failing === null ? [] : [index + 1])),
    families: () => waitingMetrics(deps.store, waiting, deps.clock.now()),
    async close() {
      stop.abort();
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
      if (!this.#closed) this.#timer = onBeat(this.#deps.clock, evaluateEveryMs, () => this.#wake());
    });
  }

  /** An alert moves on only with the store: what could not be stored is found changed again a second later. */
  async #evaluate(): Promise<void> {
    const { fleet, clock, config, logger, allowances } = this.#deps;
    const restarts = this.#facts;
    const falls = this.#falls;
    this.#facts = [];
    this.#falls = [];
    const before = this.#state;
    const hosts = new Map(fleet.hosts().map((host) => [host.name, host]));
    const { state, changes, notices } = evaluate(
      before,
      { hosts, restarts, falls, now: clock.now(), spent: allowances?.spent() ?? new Set() },
      config,
    );
    const firing = new Map(state.firing);
    const ended = new Map(state.ended);
    await Promise.all(
      commitsOf(changes, notices).map(async (commit) => {
        try {
          await this.#commit(commit, (alert) => tellingOf(before.firing.get(alertKey(alert))).told);
          for (const { alert, transition } of commit.changes) if (transition === 'firing') allowances?.charge(alert.host, alertBytes);
        } catch (error) {
          const keys = commit.changes.map(({ alert }) => alertKey(alert));
          for (const key of keys) {
            putBack(firing, key, before.firing.get(key));
            putBack(ended, key, before.ended.get(key));
          }
          const ids = commit.changes.map(({ alert }) => alert.id).join(', ');
          logger.error({ err: error, alert: ids }, `an alert could not be stored, trying again: ${errorMessage(error)}`);
        }
      }),
    );
    this.#state = { ...state, firing, ended };
    if (notices.length > 0 || changes.some((change) => change.notify)) this.#announced();
  }

  /** The event comes first: killed in between, the change is made again and its event is there twice, never missing. */
  async #commit({ changes, notice }: AlertCommit, toldOf: (alert: AlertRecord) => string | null): Promise<void> {
    const { store, bus, clock } = this.#deps;
    const now = clock.now();
    await Promise.all(changes.map((change) => this.#happened(change, now)));
    const notifications = changes
      .filter(({ notify }) => notify)
      .flatMap(({ alert }) => {
        const ofGroup = isGathered(alert);
        const sinks = this.#sinks.filter((sink) => !ofGroup || sink.formatGroup === undefined);
        return sinks.map((sink) => ({ sink: sink.name, body: sink.format(alert, { told: toldOf(alert), at: now }) }));
      });
    if (notice !== null)
      for (const sink of this.#sinks)
        if (sink.formatGroup !== undefined) for (const body of sink.formatGroup(notice)) notifications.push({ sink: sink.name, body });
    const alerts = changes.map(({ alert }) => alert);
    await store.putAlerts(alerts, notifications, now);
    for (const alert of alerts) bus.publish('alert', alert);
  }

  async #happened({ alert, transition }: AlertChange, now: number): Promise<void> {
    if (transition === 'updated') return;
    const { store, bus } = this.#deps;
    const { host, workload, severity, summary, rule, id, startsAt } = alert;
    const kind = transition === 'resolved' ? 'alert.resolved' : 'alert.firing';
    const data = { alertId: id, rule, severity, startsAt: isoTime(startsAt) };
    const event = { at: now, host, workload, generation: null, kind, message: `${rule}: ${summary}`, data } as const;
    const stored = await store.commitOwnEvent({ ...event, severity: transition === 'resolved' ? 'info' : severity });
    bus.publish('events', [stored]);
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const subscription of this.#subscriptions) subscription.dispose();
    this.#timer?.cancel();
    await this.#work;
  }
}

/** What is stored in one transaction. */
interface AlertCommit {
  readonly changes: readonly AlertChange[];
  readonly notice: Notice | null;
}

/** The alerts of a group with the message that tells of them; each other one by itself. */
function commitsOf(changes: readonly AlertChange[], notices: readonly Notice[]): readonly AlertCommit[] {
  const of = new Map(notices.flatMap((notice) => notice.alerts.map(({ id }) => [id, notice] as const)));
  const alone = changes.filter(({ alert }) => !of.has(alert.id)).map((change) => ({ changes: [change], notice: null }));
  return [...alone, ...notices.map((notice) => ({ changes: changes.filter(({ alert }) => of.get(alert.id) === notice), notice }))];
}

function putBack(among: Map<string, AlertRecord>, key: string, alert: AlertRecord | undefined): void {
  if (alert === undefined) among.delete(key);
  else among.set(key, alert);
}

/** What fires, what ended within the windows, the restarts since, and what may still take a slice down. */
function load(deps: AlertsDeps, fact: (event: StoredEvent) => RestartFact | undefined): AlertsState {
  const { store, clock, config } = deps;
  const { warning, critical, resolveAfterMs } = config.repeatedRestarts;
  const since = clock.now() - Math.max(warning.withinMs, critical.withinMs) - resolveAfterMs;
  const firing = store.alerts({ state: 'firing', limit: alertsMax });
  const resolved = store.alerts({ state: 'resolved', endedSince: since, limit: alertsMax });
  const facts: RestartFact[] = [];
  for (let after: number | undefined = 0; after !== undefined;) {
    const page: readonly StoredEvent[] = store.events({ kinds: restartEventKinds, since, after, limit: pageSize });
    facts.push(...page.map(fact).filter((found) => found !== undefined));
    after = page.length < pageSize ? undefined : page.at(-1)?.id;
  }
  const incidents = store.incidents({ since: clock.now() - keepFallMs, limit: incidentsMax });
  return restore([...firing, ...resolved], facts, incidents.map(fallOf).toReversed(), config.repeatedRestarts);
}
