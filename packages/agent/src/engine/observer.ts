/**
 * Keeps looking at our containers. Events only wake it; list + inspect decides. It subscribes first and lists then, lists
 * again every 10 s and after every break of the stream, because the engine drops events silently when a reader is slow.
 *
 * An engine that refuses connections may have taken its containers down with it: the first look after that says
 * `afterOutage`. An engine that merely does not answer (hung, paused) cannot, so its silence excuses nobody's death.
 *
 * An engine that lists, and says nothing about one container, holds a lock on that one (20.10 does when a `docker pause` meets an exec that
 * begins). That is said of this container alone (silent-containers.ts), and only after a second list: one that begins to hang as a
 * whole looks the same at first.
 */
import { onBeat } from '@relight/shared/beat';
import { delay, type Clock, type Timer } from '@relight/shared/clock';
import { RelightError, toRelightError } from '@relight/shared/errors';
import type { Logger } from 'pino';
import { isRetiredName } from '../supervisor/retired-name.ts';
import type { CallOptions, ContainerFacts, Engine, EngineEvent } from './engine.ts';
import { SilentContainers, type SilentContainer } from './silent-containers.ts';

const relistMs = 10_000;
const callMs = 5_000;
const retryMsMin = 50;
const retryMsMax = 1_000;

/**
 * What takes a container from us. Creating, starting and renaming is mostly our own doing, in the middle of a recovery that
 * extra calls would slow down; what others do of it is seen at the next look.
 */
const wakingActions: ReadonlySet<string> = new Set(['die', 'destroy', 'oom', 'pause', 'unpause']);

/** What one look has seen. */
export interface Look {
  readonly containers: readonly ContainerFacts[];
  /** They are there; the engine says nothing more about them. */
  readonly silent: readonly SilentContainer[];
  readonly afterOutage: boolean;
  /** When the first question of it was asked, monotonic: what has happened since may be in it or not. */
  readonly askedAt: number;
}

export interface ObserverOptions {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly ownerId: string;
  /** Container names that the configuration claims: a stranger under such a name is of interest too. */
  readonly names: () => readonly string[];
  /** The machine has booted since we last looked: containers fell with it. */
  readonly afterBoot: boolean;
  readonly onObserved: (look: Look) => void;
  readonly onLost: (reason: string) => void;
  readonly onEvent: (event: EngineEvent) => void;
  /** A look has ended, well or badly: the next one will come by itself. */
  readonly onLooked: () => void;
}

export class EngineObserver {
  readonly #options: ObserverOptions;
  readonly #stop = new AbortController();
  #looking = false;
  #again = false;
  #outage: boolean;
  #up: boolean | null = null;
  #retries = 0;
  #known: ReadonlySet<string> = new Set();
  /** Names of those that ran at the last look. */
  #heldNames: ReadonlySet<string> = new Set();
  readonly #silent: SilentContainers;
  #relist: Timer | null = null;
  #lastLook: { readonly endedAt: number; readonly tookMs: number } | null = null;

  constructor(options: ObserverOptions) {
    this.#options = options;
    this.#outage = options.afterBoot;
    const { engine, clock } = options;
    this.#silent = new SilentContainers({ engine, clock, onAnswer: () => this.observe() });
  }

  /** Null before the first answer. */
  get up(): boolean | null {
    return this.#up;
  }

  /** The last look that ended, well or badly: when (monotonic), and how long it took. Null before the first. */
  get lastLook(): { readonly endedAt: number; readonly tookMs: number } | null {
    return this.#lastLook;
  }

  start(): void {
    void this.#subscribe();
  }

  stop(): void {
    this.#stop.abort();
    this.#silent.clear();
    this.#relist?.cancel();
  }

  /** Look now. A look under way is followed by another one, since it may have begun before what the caller knows of. */
  observe(): void {
    if (this.#stop.signal.aborted) return;
    if (this.#looking) {
      this.#again = true;
      return;
    }
    this.#looking = true;
    this.#relist?.cancel();
    const { clock } = this.#options;
    const began = clock.monotonic();
    void this.#look().finally(() => {
      this.#looking = false;
      const endedAt = clock.monotonic();
      this.#lastLook = { endedAt, tookMs: endedAt - began };
      this.#options.onLooked();
      if (this.#again) {
        this.#again = false;
        this.observe();
      }
    });
  }

  async #look(): Promise<void> {
    const { clock } = this.#options;
    const seen = await this.#read().catch((thrown: unknown) => this.#failed(thrown));
    if (seen === null) return;
    const afterOutage = this.#outage;
    this.#outage = false;
    this.#up = true;
    this.#retries = 0;
    this.#relist = onBeat(clock, relistMs, () => this.observe());
    this.#tell({ ...seen, afterOutage });
  }

  /** The engine has answered: a defect of ours in what is made of it is none of the engine's, and the next look is not due sooner. */
  #tell(look: Look): void {
    const { logger, onObserved } = this.#options;
    try {
      onObserved(look);
    } catch (thrown) {
      logger.error({ err: thrown }, 'internal: what was seen of the containers could not be used; please report this');
    }
  }

  #failed(thrown: unknown): null {
    if (this.#stop.signal.aborted) return null;
    this.#silent.clear();
    const error = toRelightError(thrown, 'engine-error');
    this.#lost(error.message, error.code === 'engine-unreachable');
    const waitMs = Math.min(retryMsMax, retryMsMin * 2 ** this.#retries);
    this.#retries += 1;
    this.#relist = this.#options.clock.after(waitMs, () => this.observe());
    return null;
  }

  async #read(): Promise<Omit<Look, 'afterOutage'>> {
    const { clock, ownerId } = this.#options;
    const names = this.#options.names();
    const askedAt = clock.monotonic();
    // A name that a container has is nobody else's, so it is listed only when that one has lost it. One that does not run any more may be set
    // aside at any moment: its name is asked for with the rest.
    const free = names.filter((name) => !this.#heldNames.has(name));
    // What was there at the last look is inspected while the lists are made: a death costs one round trip, not two.
    const [ours, named, known] = await Promise.all([this.#ours(), this.#named(free), this.#inspectAll([...this.#known])]);
    const held = new Set(known.map(({ facts }) => (facts === null || facts === 'no answer' ? null : facts.name)));
    const lost = names.filter((name) => this.#heldNames.has(name) && !held.has(name));
    const lists = new Map([...named, ...(lost.length === 0 ? [] : await this.#named(lost))]);
    const listed = new Set([...ours, ...[...lists.values()].flat()]);
    const fresh = [...listed].filter((id) => !this.#known.has(id) && !this.#silent.has(id));
    const answers = [...known, ...(await this.#inspectAll(fresh))];
    const unanswered = answers.filter(({ facts }) => facts === 'no answer');
    if (unanswered.length > 0) await this.#ours();
    for (const { id } of unanswered) this.#silent.add(id, askedAt);
    this.#silent.keep(listed);
    const facts = answers.flatMap((answer) => (answer.facts === null || answer.facts === 'no answer' ? [] : [answer.facts]));
    this.#known = new Set(facts.map((container) => container.id));
    this.#heldNames = new Set(facts.filter(({ status }) => status === 'running').map(({ name }) => name));
    return {
      askedAt,
      containers: facts.filter((container) => container.labels['relight.agent'] === ownerId || names.includes(container.name)),
      silent: this.#silent.list((id) => names.find((name) => lists.get(name)?.includes(id)) ?? null),
    };
  }

  /** Ids of those that are ours by label. */
  #ours(): Promise<readonly string[]> {
    return this.#options.engine.list({ labels: { 'relight.agent': this.#options.ownerId } }, this.#call());
  }

  /** Ids by name. */
  #named(names: readonly string[]): Promise<(readonly [name: string, ids: readonly string[]])[]> {
    return Promise.all(names.map(async (name) => [name, await this.#options.engine.list({ name }, this.#call())] as const));
  }

  #call(): CallOptions {
    return { timeoutMs: callMs, signal: this.#stop.signal };
  }

  #inspectAll(ids: readonly string[]): Promise<readonly { readonly id: string; readonly facts: ContainerFacts | 'no answer' | null }[]> {
    return Promise.all(ids.map(async (id) => ({ id, facts: await this.#inspect(id) })));
  }

  /** Null: there is no such container. */
  async #inspect(id: string): Promise<ContainerFacts | 'no answer' | null> {
    try {
      return await this.#options.engine.inspect(id, this.#call());
    } catch (thrown) {
      if (thrown instanceof RelightError && thrown.code === 'engine-timeout') return 'no answer';
      throw thrown;
    }
  }

  #lost(reason: string, refused: boolean): void {
    if (refused) this.#outage = true;
    if (this.#up !== false) this.#options.logger.warn({ reason }, 'the engine does not answer');
    this.#up = false;
    this.#options.onLost(reason);
  }

  async #subscribe(): Promise<void> {
    const { engine, clock, logger } = this.#options;
    const { signal } = this.#stop;
    for (let failures = 0; !signal.aborted; failures += 1) {
      try {
        const onOpen = (): void => {
          failures = 0;
          this.observe();
        };
        for await (const event of engine.events(signal, onOpen)) this.#onEvent(event);
      } catch (thrown) {
        if (signal.aborted) return;
        logger.debug({ reason: toRelightError(thrown).message }, 'event stream broke');
      }
      // Whether the engine is gone or only the stream broke: a look tells.
      this.observe();
      await delay(clock, Math.min(retryMsMax, retryMsMin * 2 ** failures), signal).catch(() => {});
    }
  }

  #onEvent(event: EngineEvent): void {
    const { ownerId, onEvent } = this.#options;
    const names = this.#options.names();
    if (event.type === 'image') {
      onEvent(event);
      return;
    }
    const { name = '', oldName = '' } = event.attributes;
    const former = oldName.replace(/^\//, '');
    const concerns = event.attributes['relight.agent'] === ownerId || names.includes(name) || names.includes(former);
    if (event.type !== 'container' || !concerns) return;
    onEvent(event);
    // A name that is gone, unless we set the container aside; one of those started again, or a stranger under our name.
    const byOthers =
      (event.action === 'rename' && names.includes(former) && !isRetiredName(name, former)) ||
      (event.action === 'start' && !names.includes(name));
    if (byOthers || wakingActions.has(event.action)) this.observe();
  }
}
