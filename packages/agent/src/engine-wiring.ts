/** The engine, put together with all that listens to it: who hears of a look, of an event, and of its silence. */
import { toRelightError } from '@relight/shared/errors';
import type { AgentContext } from './agent-context.ts';
import { managedLabels } from './engine/create-options.ts';
import type { Engine, EngineEvent, EngineInfo } from './engine/engine.ts';
import { restartPolicyConditions } from './engine/foreign-restarts.ts';
import { EngineObserver, type Look } from './engine/observer.ts';
import type { EventKeeping } from './event-keeping.ts';
import type { HostLevel } from './host-level.ts';
import { FrozenExecs } from './host/frozen-execs.ts';
import { silentAbout, silentConditions, silentReason } from './host/silent-container.ts';
import { otherHands } from './incidents/other-hands.ts';
import type { WorkloadLoop } from './workload-loop.ts';
import type { WorkloadWiring } from './workload-wiring.ts';

export interface EngineWiringOptions {
  readonly context: AgentContext;
  readonly engine: Engine;
  readonly events: EventKeeping;
  readonly host: HostLevel;
  readonly workloads: WorkloadWiring;
  readonly loops: ReadonlyMap<string, WorkloadLoop>;
  /** A look at the engine has ended, whatever it has shown, and everybody has been told. */
  readonly onLooked: () => void;
}

export class EngineWiring {
  readonly #options: EngineWiringOptions;
  readonly #observer: EngineObserver;
  readonly #frozenExecs: FrozenExecs;
  /** Until the first look: what fell, fell with the machine. */
  #afterBoot: boolean;
  /** Null before the first answer. */
  #up: boolean | null = null;
  #reason = 'not asked yet';
  #info: EngineInfo | null = null;
  #onFirstLook: () => void = () => {};

  constructor(options: EngineWiringOptions) {
    this.#options = options;
    const { context, engine, host } = options;
    const { clock, logger, identity } = context;
    this.#afterBoot = host.rebooted;
    this.#observer = new EngineObserver({
      engine,
      clock,
      logger,
      ownerId: identity.agentId,
      names: () => [...options.loops.values()].map(({ spec }) => spec.container.name),
      // After a reboot the containers fell with the machine, not by themselves.
      afterBoot: host.rebooted,
      onObserved: (look) => this.#observed(look),
      onLost: (reason) => this.#lost(reason),
      onEvent: (event) => this.#heard(event),
      onLooked: options.onLooked,
    });
    this.#frozenExecs = new FrozenExecs({ clock, logger, emit: (event) => options.events.emit(event) });
  }

  get state(): 'up' | 'down' {
    return this.#up === true ? 'up' : 'down';
  }

  get reason(): string {
    return this.#reason;
  }

  /** Null until it was told. */
  get info(): EngineInfo | null {
    return this.#info;
  }

  get lastLook(): EngineObserver['lastLook'] {
    return this.#observer.lastLook;
  }

  /** Resolves when the first look has been taken, or could not be. */
  start(): Promise<void> {
    const looked = new Promise<void>((resolve) => {
      this.#onFirstLook = resolve;
    });
    this.#observer.start();
    return looked;
  }

  stop(): void {
    this.#observer.stop();
  }

  observe(): void {
    this.#observer.observe();
  }

  #observed(look: Look): void {
    const { context, host, workloads, loops } = this.#options;
    const { containers, silent } = look;
    if (this.#up !== true) this.#found();
    host.gate.engineIs(true, this.#reason);
    const own = containers.filter((facts) => facts.labels[managedLabels.agent] === context.identity.agentId);
    workloads.seen(own, silent.length === 0);
    host.orphans.observed(own);
    const names = new Set([...loops.values()].map(({ spec }) => spec.container.name));
    // That one of them is not to be seen for a moment ends nothing.
    if (silent.length === 0) host.conditions.set('restart-policies', restartPolicyConditions(own, names));
    const liveRestore = this.#info?.liveRestore ?? null;
    host.conditions.set('engine', silentConditions(silent, context.clock.monotonic(), liveRestore, host.conditions.of('engine')));
    for (const loop of loops.values()) {
      const about = silentAbout(silent, loop.state, loop.spec.container.name);
      loop.observed(look, this.#afterBoot, about === undefined ? null : silentReason(about, liveRestore));
      if (about !== undefined) this.#letFrozenExecsBegin(loop, about.id);
    }
    this.#afterBoot = false;
    const awaited = [...loops.values()].filter(({ spec: { container } }) => container.adopt !== undefined && container.image === '');
    const come = awaited.filter(({ spec }) => containers.some(({ name }) => name === spec.container.name));
    if (come.length > 0) void workloads.adopt(come).then((adopted) => (adopted ? this.#observer.observe() : undefined));
    // No line leaves before: the uplink starts after the first look.
    void workloads.learnSecrets(own).then(this.#onFirstLook);
  }

  /** What a person has told to be left alone is left frozen as well. */
  #letFrozenExecsBegin({ state, spec }: WorkloadLoop, containerId: string): void {
    if (state.pause === null) void this.#frozenExecs.letBegin(containerId, spec.container.name, spec.name);
  }

  #found(): void {
    const { context, engine, events, host } = this.#options;
    const first = this.#up === null;
    this.#up = true;
    this.#reason = 'answers';
    if (first) events.catchUp({ engine: 'up' });
    else events.emit({ kind: 'engine.recovered', severity: 'info', message: 'the engine answers again', data: {} });
    void engine.info().then(
      (info) => {
        this.#info = info;
        host.engineRootIs(info.rootDirectory);
      },
      (thrown: unknown) => context.logger.warn({ reason: toRelightError(thrown).message }, 'the engine does not tell its version'),
    );
  }

  #lost(reason: string): void {
    const { events, host, loops } = this.#options;
    if (this.#up !== false)
      events.emit({ kind: 'engine.lost', severity: 'error', message: `the engine does not answer: ${reason}`, data: {} });
    this.#up = false;
    this.#reason = reason;
    // Of single containers nobody can say anything now.
    host.conditions.set('engine', []);
    for (const loop of loops.values()) loop.send({ type: 'engine-lost', reason });
    host.gate.engineIs(false, reason);
    this.#onFirstLook();
  }

  #heard(event: EngineEvent): void {
    const { context, events, host, loops, workloads } = this.#options;
    // While the engine is asked what happened, the host is.
    if (event.type === 'container') host.gate.glance();
    const loop = loops.get(event.attributes[managedLabels.workload] ?? '');
    const paused = event.type === 'container' && event.action === 'pause';
    const ofPaused = paused ? [...loops.values()].find(({ state }) => state.container?.id === event.id) : undefined;
    // Before anybody hangs over it. The freezer tells whether there is anything to do.
    if (ofPaused !== undefined) this.#letFrozenExecsBegin(ofPaused, event.id);
    const order = loop === undefined ? null : otherHands(event, loop.state, context.clock.now() - context.steadyNow());
    if (order !== null) events.incidents.incidents.observe(order);
    if (event.type === 'image') {
      for (const each of loops.values()) each.send({ type: 'image-changed' });
      workloads.held.imageChanged();
    } else if (event.action === 'oom') {
      host.watch.oomSeen(event.id, () => {
        const container = loop?.state.container;
        // By now it may have come back, as another one or as itself: the killing was not there.
        if (container?.id === event.id && (container.startedAt ?? 0) <= event.at)
          loop?.send({ type: 'oom', process: null, constraint: 'container' });
      });
    }
  }
}
