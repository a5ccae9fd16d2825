/**
 * The fleet as it lives: one entry a host, one session an entry at most. Decides who may speak for a host, turns frames and
 * silence into states (liveness/), and answers the API.
 */
import type { Clock, Timer } from '@relight/shared/clock';
import { RelightError, toRelightError } from '@relight/shared/errors';
import type { Incident } from '@relight/shared/incident';
import type { Preflight } from '@relight/shared/preflight';
import { closeCodes, type Heartbeat, type Hello } from '@relight/shared/protocol';
import type { MetricFamily } from '../api/metrics-text.ts';
import type { RefusalBook } from '../access/refusal-book.ts';
import type { Bus } from '../bus.ts';
import type { ForgetRule, LivenessConfig } from '../config.ts';
import type { Fleet, WatchSelector } from '../fleet.ts';
import { announcedDeparture } from '../liveness/announced.ts';
import { contested } from '../liveness/shared-identity.ts';
import { lastKnown } from '../liveness/last-known.ts';
import { atStart, newHost, nextDeadline, transition, type LivenessContext, type LivenessEvent } from '../liveness/liveness.ts';
import type { SqliteStore } from '../store/sqlite-store.ts';
import type { CollectorEvent, HostRecord, IncidentCommit, StoredEvent, StoredLogPiece, TokenRecord } from '../store/store.ts';
import { Actions } from './actions.ts';
import type { Allowances } from './allowances.ts';
import type { HelloRefusal } from './common-protocol.ts';
import { ForgetByRule } from './forget-by-rule.ts';
import { HeldBackTelling, type HeldBackHosts } from './held-back.ts';
import { HostBook, type HostEntry } from './host-book.ts';
import { acceleratorsKey, agentSample, blankRecord, conditionsKey, newsOf, withClock, withGap, workloadsKey } from './host-record.ts';
import type { judgeClaim, Verdict } from './identity.ts';
import { OwnEvents } from './own-events.ts';
import { RefusedAgents } from './refused-agents.ts';
import type { Claim, Session, SessionEnd, SessionOwner } from './session.ts';
import { contendWith, displace, fence, judgeAmong, twinAmong, unlessRenamed, type Twin } from './standing.ts';
import { Watches } from './watches.ts';

export interface FleetDeps {
  readonly store: Pick<
    SqliteStore,
    'hosts' | 'putHost' | 'deleteHost' | 'closeIncidents' | 'fencedAgents' | 'fenceAgents' | 'commitOwnEvent' | 'retireBefore'
  >;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly config: LivenessConfig;
  /** Absent: nobody is forgotten but by hand. */
  readonly forget?: readonly ForgetRule[];
  readonly refusals: Pick<RefusalBook, 'write'>;
  readonly allowances?: HeldBackHosts & Pick<Allowances, 'charge'>;
  readonly warn: (message: string, error: RelightError) => void;
  /** Absent: 20,000. */
  readonly hostsMax?: number;
}

/** Twice the fleet that a collector is made for. Whoever has a token for any host could fill memory and disk with hosts of his own else. */
const hostsMaxDefault = 20_000;

/** Deadlines are met within this. */
const sweepMs = 500;
/** A sweep that is later than this means that the process stood still. */
const lateMs = 250;

export class LiveFleet implements Fleet, SessionOwner {
  readonly #deps: FleetDeps;
  readonly #book: HostBook;
  readonly #actions: Actions;
  readonly #refused: RefusedAgents;
  readonly #heldBack: HeldBackTelling;
  readonly #ownEvents: OwnEvents;
  readonly #watches = new Watches();
  readonly #forgetting: ForgetByRule;
  readonly #sessions = new Set<Session>();
  readonly #startedMono: number;
  readonly #hostsMax: number;
  #stopped = false;
  #stalledMs = 0;
  #timer: Timer;
  #sweptAt: number;

  constructor(deps: FleetDeps) {
    const { store, clock } = deps;
    this.#deps = deps;
    this.#ownEvents = new OwnEvents(deps);
    this.#book = new HostBook({ ...deps, tell: (event) => this.#ownEvents.tell(event) });
    this.#actions = new Actions(clock);
    this.#forgetting = new ForgetByRule(clock, deps.forget ?? []);
    this.#refused = new RefusedAgents(this.#book, clock, (entry, news) => this.#emit(entry, news, news.data));
    this.#heldBack = new HeldBackTelling(deps, this.#book, (entry, news) => this.#emit(entry, news, news.data));
    this.#startedMono = clock.monotonic();
    this.#hostsMax = deps.hostsMax ?? hostsMaxDefault;
    for (const record of store.hosts()) {
      const live = atStart(record, this.#context());
      const changed = live.state !== record.state;
      const present = changed ? { ...record, state: live.state, reason: live.reason, stateSince: clock.now() } : record;
      this.#book.add(present, live, nextDeadline(live, this.#context()), !changed);
    }
    for (const { host, agent } of store.fencedAgents()) {
      const entry = this.#book.get(host);
      if (entry !== undefined) fence(entry, agent);
    }
    this.#sweptAt = this.#startedMono;
    this.#timer = clock.after(sweepMs, () => this.#sweep());
  }

  // --- what the API asks ---

  hosts(): readonly HostRecord[] {
    return Array.from(this.#book.entries(), (entry) => entry.record).toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  host(name: string): HostRecord | undefined {
    return this.#book.get(name)?.record;
  }

  async expect(name: string, labels: Readonly<Record<string, string>>, expectedBy: number): Promise<HostRecord> {
    const known = this.#book.get(name);
    const live = newHost('expected', 'registered beforehand, has not arrived yet', this.#deps.clock.monotonic());
    const entry = known ?? this.#book.add(blankRecord(name, labels, live, this.#deps.clock.now()), live, null, false);
    entry.record = { ...entry.record, expectedBy };
    await this.#deps.store.putHost(entry.record);
    this.#book.changed(entry, false);
    return entry.record;
  }

  async forget(name: string): Promise<boolean> {
    const entry = this.#book.get(name);
    if (entry !== undefined && entry.session !== null)
      throw new RelightError('conflict', `${name} is connected`, { advice: 'Stop its agent first.' });
    return this.#book.remove(name);
  }

  async act(host: string, action: Parameters<Fleet['act']>[1]): Promise<{ readonly ok: boolean; readonly message: string }> {
    const entry = this.#book.get(host);
    if (entry === undefined) throw new RelightError('not-found', `there is no host ${host}`);
    if (entry.session === null) throw new RelightError('host-not-connected', `${host} is ${entry.record.state}: ${entry.record.reason}`);
    if (!entry.record.remoteActions) throw new RelightError('action-refused', `${host} refuses remote actions`);
    return this.#actions.send(entry.session, action);
  }

  watch(selector: WatchSelector): { dispose(): void } {
    return this.#watches.add(selector, this.#sessions);
  }

  // --- what sessions tell ---

  get fleetSize(): number {
    return this.#book.size;
  }

  /** What would be said to the hello of this agent, with nothing done about it. */
  wouldTake(token: TokenRecord, asks: Preflight): Verdict {
    return unlessRenamed(this.#book, asks, this.#judge(token, { ...asks, epoch: '' }));
  }

  #judge(token: TokenRecord, hello: Parameters<typeof judgeClaim>[0]): Verdict {
    return judgeAmong(this.#book, { hostsMax: this.#hostsMax, now: this.#deps.clock.now() }, token, hello);
  }

  claim(session: Session, hello: Hello): Claim {
    const verdict = this.#judge(session.token, hello);
    if (verdict.accepted) {
      const { id, replaces } = session.token;
      if (replaces !== null) this.#background(`retiring the token ${replaces}`, this.#deps.store.retireBefore(id));
      this.#arrive(session, hello, verdict);
      return { accepted: true, watch: this.#watches.of(hello.host) };
    }
    const twin = verdict.notice?.shared === true ? this.#book.get(verdict.notice.host) : undefined;
    const { host, bootId, agentId } = hello;
    const own = this.#book.get(host);
    if (own?.fenced.has(agentId) === true) fence(own, agentId);
    if (twin !== undefined) contendWith(this.#book, twin, { host, bootId, address: session.address }, this.#deps.clock);
    this.#background('writing a refusal down', this.#writeDown(session, hello, verdict));
    return verdict;
  }

  twinOf(agent: Pick<Hello, 'agentId' | 'machineId' | 'host'>): Twin | null {
    return twinAmong(this.#book, agent, this.#deps.clock.now());
  }

  async #writeDown({ token, address }: Session, hello: Hello, { reason, notice }: Extract<Verdict, { accepted: false }>): Promise<void> {
    const { host, agentId, machineId } = hello;
    const deed = { action: 'agent.connect', target: notice?.host ?? host, detail: { host, agentId, machineId } };
    const worth = await this.#deps.refusals.write({ token, address }, deed, reason);
    const about = notice === undefined ? undefined : this.#book.get(notice.host);
    if (worth && notice !== undefined && about !== undefined) this.#notice(about, notice.message, { host, agentId, machineId, address });
  }

  /** The hello of an agent with this token was none that this collector takes. */
  helloRefused(token: TokenRecord, refusal: HelloRefusal): void {
    this.#refused.refused(token, refusal);
  }

  heard(session: Session): void {
    const entry = this.#entryOf(session);
    if (entry === undefined) return;
    entry.record = { ...entry.record, lastSeenAt: this.#deps.clock.now() };
    this.#apply(entry, { type: 'heard' });
  }

  heartbeat(session: Session, heartbeat: Heartbeat): void {
    const entry = this.#entryOf(session);
    if (entry === undefined) return;
    const now = this.#deps.clock.now();
    const clockSkewMs = Math.round(heartbeat.at - now);
    const conditions = [
      ...withClock(entry.record, this.#heldBack.with(entry.record.name, heartbeat.conditions), clockSkewMs, now),
      ...contested(session.asHolder, entry.contender, this.#deps.clock.monotonic()),
    ];
    const engine = entry.record.engine?.state === heartbeat.engine ? entry.record.engine : { state: heartbeat.engine, since: now };
    const { workloads, metrics = entry.record.metrics, accelerators, gate = null } = heartbeat;
    const urgent =
      workloadsKey(entry.record.workloads) !== workloadsKey(heartbeat.workloads) ||
      conditionsKey(entry.record.conditions) !== conditionsKey(conditions) ||
      acceleratorsKey(entry.record.accelerators) !== acceleratorsKey(accelerators) ||
      gate?.state !== entry.record.gate?.state ||
      engine !== entry.record.engine;
    const news = newsOf(entry.record.conditions, conditions);
    const agent = agentSample(entry.record.agent, heartbeat.agent, now);
    entry.record = { ...entry.record, lastSeenAt: now, clockSkewMs, workloads, metrics, engine, conditions, accelerators, gate, agent };
    this.#book.changed(entry, urgent);
    for (const one of news) this.#emit(entry, one, one.data);
  }

  goodbye(session: Session, reason: 'stopped' | 'rebooting'): void {
    const entry = this.#entryOf(session);
    if (entry !== undefined) this.#apply(entry, { type: 'goodbye', reason, announced: announcedDeparture(entry.record) });
  }

  closed(session: Session, end: SessionEnd): void {
    this.#sessions.delete(session);
    this.#actions.sessionClosed(session);
    const entry = this.#entryOf(session);
    if (entry === undefined || this.#stopped) return;
    entry.session = null;
    this.#apply(entry, { type: 'closed', ...end, announced: announcedDeparture(entry.record) });
  }

  actionResult(session: Session, result: Parameters<SessionOwner['actionResult']>[1]): void {
    this.#actions.answer(session, result);
  }

  eventsStored(events: readonly StoredEvent[]): void {
    this.#deps.bus.publish('events', events);
  }

  incidentStored(host: string, incident: Incident, { superseded }: IncidentCommit): void {
    this.#book.endIncidents(superseded, `its agent has begun ${incident.id} without knowing of it`);
    this.#deps.bus.publish('incident', { host, receivedAt: this.#deps.clock.now(), incident });
  }

  pieceStored(piece: StoredLogPiece): void {
    const entry = piece.kind === 'gap' ? this.#book.get(piece.host) : undefined;
    if (piece.kind === 'gap' && entry !== undefined) {
      entry.record = { ...entry.record, gaps: withGap(entry.record.gaps, piece.gap, this.#deps.clock.now()) };
      this.#book.changed(entry, false);
    }
    this.#deps.bus.publish('logs', piece);
  }

  metrics(): readonly MetricFamily[] {
    return [
      {
        name: 'relight_collector_stalled_seconds_total',
        help: "For how long this process stood still (a stopped or overloaded machine): it counts as nobody's silence.",
        type: 'counter',
        samples: [{ value: this.#stalledMs / 1_000 }],
      },
      ...this.#ownEvents.families(),
    ];
  }

  /** Sessions that said hello. */
  sessions(): ReadonlySet<Session> {
    return this.#sessions;
  }

  /** From now on a connection that ends says nothing about its host: this side ends it. Call before the sessions are closed. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer.cancel();
    this.#book.flushAll();
    await this.#ownEvents.finish();
  }

  // --- inside ---

  #arrive(session: Session, hello: Hello, verdict: Extract<Verdict, { accepted: true }>): void {
    const { clock, store } = this.#deps;
    const now = clock.now();
    const former = this.#book.ofAgent(hello.agentId)?.record.name;
    for (const name of new Set([hello.host, former ?? hello.host])) {
      const entry = this.#book.get(name);
      const old = entry?.session;
      if (entry !== undefined) displace(entry, session.life);
      if (entry !== undefined) entry.session = null;
      old?.close(closeCodes.superseded, `another connection speaks for ${hello.host} now`);
    }
    // The same agent under a new name: the host was renamed.
    if (former !== undefined && former !== hello.host) this.#background(`forgetting ${former}`, this.#book.remove(former));
    const live = newHost('unknown', 'first contact', clock.monotonic());
    const entry = this.#book.get(hello.host) ?? this.#book.add(blankRecord(hello.host, {}, live, now), live, null, false);
    if (former !== undefined && former !== hello.host)
      this.#notice(entry, `was called ${former} until now; that host is forgotten`, { former });
    if (verdict.fences !== null) {
      fence(entry, verdict.fences);
      this.#background(`fencing ${verdict.fences}`, store.fenceAgents(hello.host, [...entry.fenced], now));
      this.#notice(entry, `agent ${hello.agentId} has taken the name over from agent ${verdict.fences}, which is locked out`, {
        agentId: hello.agentId,
        fenced: verdict.fences,
      });
    }
    const { agentId, machineId, labels, facts, bootId, version, remoteActions } = hello;
    this.#book.speaksFor(agentId, hello.host);
    // Copies of another machine are none of this one.
    const { copies, ...before } = entry.record;
    const same = before.agentId === agentId && before.machineId === machineId && copies !== undefined ? { copies } : {};
    const known = { agentId, machineId, labels, facts, bootId, agentVersion: version, remoteActions };
    entry.record = {
      ...before,
      ...same,
      ...known,
      lastSeenAt: now,
      clockSkewMs: Math.round(hello.at - now),
      expectedBy: null,
      agent: null,
    };
    entry.session = session;
    this.#refused.arrived(entry);
    this.#sessions.add(session);
    this.#apply(entry, { type: 'hello', agent: `agent ${version}` });
  }

  #entryOf(session: Session): HostEntry | undefined {
    const entry = this.#book.get(session.host);
    return entry?.session === session ? entry : undefined;
  }

  #apply(entry: HostEntry, event: LivenessEvent): void {
    const { clock } = this.#deps;
    const { state: live, changes, nextDeadline: deadline } = transition(entry.live, event, this.#context());
    entry.live = live;
    entry.deadline = deadline;
    const { state, reason } = entry.record;
    if (live.state !== state || live.reason !== reason) {
      const stateSince = live.state === state ? entry.record.stateSince : clock.now();
      entry.record = { ...entry.record, state: live.state, reason: live.reason, stateSince };
      this.#book.changed(entry, true);
    }
    for (const change of changes) this.#emit(entry, change, { state: live.state });
  }

  #emit(entry: HostEntry, event: Pick<CollectorEvent, 'kind' | 'severity' | 'message'>, data: Record<string, unknown>): void {
    this.#ownEvents.tell({ at: this.#deps.clock.now(), host: entry.record.name, workload: null, generation: null, data, ...event });
  }

  #notice(entry: HostEntry, message: string, data: Record<string, unknown>): void {
    // A clone comes back every few seconds; one event for each is enough until something else happens.
    if (entry.lastNotice === message) return;
    entry.lastNotice = message;
    this.#emit(entry, { kind: 'host.notice', severity: 'warning', message }, data);
  }

  #context(): LivenessContext {
    return { nowMono: this.#deps.clock.monotonic(), startedMono: this.#startedMono, config: this.#deps.config };
  }

  #sweep(): void {
    const now = this.#deps.clock.monotonic();
    const late = now - this.#sweptAt - sweepMs;
    this.#sweptAt = now;
    if (late > lateMs) this.#stalledMs += late;
    for (const entry of this.#book.entries()) {
      if (late > lateMs) this.#apply(entry, { type: 'stalled', byMs: late });
      if (entry.deadline !== null && now >= entry.deadline) {
        const { workloads, metrics } = entry.record;
        this.#apply(entry, { type: 'tick', lastKnown: lastKnown(workloads, metrics), announced: announcedDeparture(entry.record) });
      }
    }
    for (const session of this.#sessions) {
      if (late > lateMs) session.stalled(late);
      session.pulse(now);
    }
    this.#forgetByRule();
    this.#heldBack.look();
    this.#ownEvents.look();
    this.#book.flush();
    this.#timer = this.#deps.clock.after(sweepMs, () => this.#sweep());
  }

  #forgetByRule(): void {
    for (const { entry, message, label } of this.#forgetting.look(this.#book.entries())) {
      this.#emit(entry, { kind: 'host.notice', severity: 'info', message }, { forgotten: true, label });
      this.#background(`forgetting ${entry.record.name}`, this.forget(entry.record.name));
    }
  }

  #background(what: string, work: Promise<unknown>): void {
    work.catch((error: unknown) => this.#deps.warn(`${what} failed`, toRelightError(error)));
  }
}
