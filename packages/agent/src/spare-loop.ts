/**
 * The prepared spare of one workload, alive: feeds its machine (supervisor/spare.ts), carries out what that wants, writes down what a later
 * agent needs to adopt it. It has a lane of its own: nothing here waits for the workload, and the workload never waits for it.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Timer } from '@relight/shared/clock';
import { RelightError, toRelightError } from '@relight/shared/errors';
import type { NewAgentEvent } from '@relight/shared/event';
import type { SpareStatus } from '@relight/shared/status';
import { namedSecrets } from './config/secret-names.ts';
import type { Prober } from './checks/prober.ts';
import { compareFingerprints, specFingerprint } from './config/impact.ts';
import { runOwnerByLabels } from './engine/create-options.ts';
import type { ContainerFacts } from './engine/engine.ts';
import type { Look } from './engine/observer.ts';
import { readSwapped, swapFile } from './host/atomic-file.ts';
import { untold, type Telling } from './outbox/telling.ts';
import { resolveVars } from './stages/prepare.ts';
import { runOp } from './stages/run-op.ts';
import { createSpare, spareInputs } from './stages/spare.ts';
import type { StageContext } from './stages/stage.ts';
import type { EmittedEvent, SupervisorEvent } from './supervisor/event.ts';
import {
  durableSpare,
  type DurableSpare,
  initialSpare,
  offerOf,
  restoreSpare,
  type SpareEvent,
  type SpareOp,
  type SpareResult,
  type SpareState,
  type SpareValue,
} from './supervisor/spare-state.ts';
import { spareTransition, spareWakeAt } from './supervisor/spare.ts';
import type { WorkloadState } from './supervisor/state.ts';
import { wordForSpare } from './supervisor/take-spare.ts';
import { EventQueue } from './event-queue.ts';
import type { LoopOptions } from './loop-options.ts';

/** A tick that changes nothing must not become a busy loop. */
const tickMsMin = 20;
/** Removing a container with many files takes the engine seconds. */
const removeTimeoutMs = 60_000;

interface SavedSpare {
  readonly state: DurableSpare;
  readonly fingerprint: Readonly<Record<string, string>>;
  /** Absent: it had nothing to tell, or an earlier version wrote it. */
  readonly telling?: Telling;
}

interface SpareLook extends Pick<Look, 'afterOutage' | 'askedAt'> {
  readonly silent: ReadonlySet<string>;
}

export class SpareLoop {
  readonly #options: LoopOptions;
  readonly #send: (event: SupervisorEvent) => void;
  readonly #prober: Prober;
  readonly #stop = new AbortController();
  readonly #queue: EventQueue<SpareEvent>;
  #state: SpareState;
  #silent = false;
  /** When the last operation ended, monotonic. */
  #knownAt = Number.NEGATIVE_INFINITY;
  #vars: Readonly<Record<string, string>> = {};
  #tick: Timer | null = null;
  #main = '';
  #offered = '';
  #written = '';
  #work: Promise<void> = Promise.resolve();

  constructor(options: LoopOptions, send: (event: SupervisorEvent) => void) {
    this.#options = options;
    this.#send = send;
    this.#state = this.#restored();
    this.#queue = new EventQueue(
      (event) => this.#step(event),
      () => this.#settle(),
    );
    this.#prober = options.prober((key, _kind, result) => {
      if (!('condition' in result)) return;
      const message = options.secrets.text(result.message);
      this.#feed({ type: 'mount-check', mount: key.slice('mount/'.length), condition: result.condition, message });
    });
  }

  /** After every step of the workload's supervisor. */
  main(state: WorkloadState): void {
    const word = wordForSpare(state);
    const text = JSON.stringify(word);
    if (this.#main === text) return;
    this.#main = text;
    this.#feed({ type: 'main', main: word });
  }

  /** `silent`: ids of those that the engine says nothing about; a spare among them is neither gone nor to be had. */
  observed(containers: readonly ContainerFacts[], { silent, afterOutage, askedAt }: SpareLook): void {
    this.#silent = silent.has(this.#state.container?.id ?? '');
    if (this.#silent) this.#settle();
    // A slow look may not know the spare that was made meanwhile: the next one does.
    else if (askedAt < this.#knownAt && !afterOutage) this.#options.observe();
    else this.#feed({ type: 'observed', containers, afterOutage });
  }

  status(): SpareStatus {
    const { phase: state, since, reason } = this.#state;
    return { state, since, reason };
  }

  /** Lets go of it; it stays as it is, for the next agent. */
  stop(): void {
    this.#stop.abort(new RelightError('cancelled', 'the agent stops'));
    this.#tick?.cancel();
    this.#prober.dispose();
  }

  /** Resolves when nothing is under way any more. */
  get ended(): Promise<void> {
    return this.#work;
  }

  #restored(): SpareState {
    const now = this.#options.now();
    try {
      const text = readSwapped(this.#file);
      if (text === null) return initialSpare(now);
      const saved = JSON.parse(text.toString('utf8')) as SavedSpare;
      if (saved.state.version !== 1) return initialSpare(now);
      if (saved.telling !== undefined) for (const event of untold(saved.telling, this.#options.history)) this.#options.emit(event);
      const changed = compareFingerprints(saved.fingerprint, specFingerprint(this.#options.spec)).filter(
        ({ impact }) => impact === 'container',
      );
      const outdated = changed.length === 0 ? null : `the configuration changed: ${changed.map(({ field }) => field).join(', ')}`;
      return restoreSpare(saved.state, now, outdated);
    } catch {
      // Lost or unreadable: what there is of it is found by its label, and made anew.
      return initialSpare(now);
    }
  }

  get #file(): string {
    return join(this.#options.agent.stateDir, 'spares', `${this.#options.spec.name}.json`);
  }

  #feed(event: SpareEvent): void {
    if (this.#stop.signal.aborted) return;
    this.#queue.add(event);
  }

  #step(event: SpareEvent): void {
    const { now, random, spec, ownerId } = this.#options;
    const before = this.#state;
    const { state, effects } = spareTransition(before, event, { now: now(), random: random(), spec, ownerId });
    this.#state = state;
    const events = effects.flatMap((effect) => (effect.kind === 'emit' ? [this.#toTell(effect.event)] : []));
    this.#save(events);
    for (const told of events) this.#options.emit(told);
    for (const effect of effects) if (effect.kind === 'run') this.#run(effect.opId, effect.op);
    if (state.phase !== before.phase || state.reason !== before.reason) this.#options.onChange();
  }

  /** A disk that takes nothing costs a spare, no recovery: the next agent throws away what it does not know. */
  #save(events: readonly NewAgentEvent[]): void {
    const saved: SavedSpare = { state: durableSpare(this.#state), fingerprint: specFingerprint(this.#options.spec) };
    const text = JSON.stringify(saved);
    if (text === this.#written) return;
    const telling = events.length === 0 ? {} : { telling: { after: this.#options.history.position, events } };
    try {
      mkdirSync(join(this.#options.agent.stateDir, 'spares'), { recursive: true, mode: 0o700 });
      swapFile(this.#file, JSON.stringify({ ...saved, ...telling }));
      this.#written = text;
    } catch (thrown) {
      this.#options.logger.warn(
        { workload: this.#options.spec.name, reason: toRelightError(thrown).message },
        'the spare cannot be written down',
      );
    }
  }

  #settle(): void {
    const { spec, clock, now } = this.#options;
    const offer = this.#silent ? null : offerOf(this.#state);
    const { generation } = this.#state;
    const event: SupervisorEvent = { type: 'spare', generation, offer };
    const text = JSON.stringify(event);
    const probes = offer === null ? [] : spec.mounts;
    this.#prober.set(
      probes.map((mount) => ({
        key: `mount/${mount.name}`,
        kind: 'mount',
        spec: mount,
        containerId: offer?.containerId ?? '',
        containerPid: offer?.pid ?? 0,
        vars: this.#vars,
      })),
    );
    this.#tick?.cancel();
    const at = spareWakeAt(this.#state);
    this.#tick = at === null ? null : clock.after(Math.max(tickMsMin, at - now()), () => this.#feed({ type: 'tick' }));
    if (text === this.#offered) return;
    this.#offered = text;
    this.#send(event);
  }

  #run(opId: number, op: SpareOp): void {
    this.#work = this.#perform(op).then((result) => {
      this.#knownAt = this.#options.clock.monotonic();
      this.#feed({ type: 'op-done', opId, result });
    });
  }

  #toTell(event: EmittedEvent): NewAgentEvent {
    const { secrets, spec, clock } = this.#options;
    return { ...event, message: secrets.text(event.message), data: secrets.data(event.data), workload: spec.name, at: clock.now() };
  }

  async #perform(op: SpareOp): Promise<SpareResult> {
    try {
      return { ok: true, value: await this.#carry(op) };
    } catch (thrown) {
      const { code, message, recoverable, advice, data } = toRelightError(thrown);
      return { ok: false, failure: this.#options.secrets.data({ code, message, recoverable, advice, data }) };
    }
  }

  async #carry(op: SpareOp): Promise<SpareValue> {
    const context = this.#context();
    if (op.kind === 'inputs') {
      context.setVars(await resolveVars(context.agent.vars, context), 0);
      return { kind: 'inputs', inputs: await spareInputs({ ...context, vars: this.#vars }) };
    }
    if (op.kind === 'create') {
      await this.#options.secrets.load();
      return { kind: 'create', ...(await createSpare(op.generation, context)) };
    }
    if (op.kind === 'remove') {
      await this.#remove(op.containerId, context);
      return { kind: 'remove' };
    }
    const value = await runOp(op, context);
    if (value.kind === 'start') return { kind: 'start', pid: value.pid, startedAt: value.startedAt };
    if (value.kind === 'mount') return { kind: 'mount', run: value.run };
    return { kind: 'setup' };
  }

  /** Its runs first: their logs end with them. */
  async #remove(containerId: string, { engine, runs, signal }: StageContext): Promise<void> {
    const facts = await engine.inspect(containerId, { signal });
    if (facts === null) return;
    if (facts.pid > 0) await runs.stop(await runs.list(containerId, runOwnerByLabels(facts)), containerId, 0, signal);
    await this.#options.beforeRemoval(containerId);
    await engine.remove(containerId, { timeoutMs: removeTimeoutMs, signal });
  }

  #context(): StageContext {
    const { agent, spec, ownerId, engine, runs, mountProbes, clock, accelerators } = this.#options;
    const { container } = this.#state;
    return {
      engine,
      clock,
      spec,
      agent,
      ownerId,
      generation: container?.generation ?? this.#state.generation,
      containerId: container?.id ?? null,
      signal: this.#stop.signal,
      vars: this.#vars,
      setVars: (vars) => {
        this.#options.secrets.learn(namedSecrets(vars));
        this.#vars = vars;
      },
      runs,
      mountProbes,
      ...(accelerators === undefined ? {} : { accelerators }),
      progress: () => {},
      // What a step of the spare does is no event of the workload; its failure is told once, as the spare's.
      emit: () => {},
    };
  }
}
