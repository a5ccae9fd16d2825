/**
 * Keeps looking at our containers. Events only wake it; list + inspect decides. It subscribes first and lists then, lists
 * again every 10 s and after every break of the stream, because the engine drops events silently when a reader is slow.
 *
 * An engine that refuses connections may have taken its containers down with it: the first look after that says
 * `afterOutage`. An engine that merely does not answer (hung, paused) cannot, so its silence excuses nobody's death.
 *
 * An engine that lists, but does not answer about one container, holds a lock on that one (Engine 20.10 does so for good when a
 * `docker pause` meets an exec that begins). That is said of this container alone, and it is asked beside the looks from then on.
 */
import { delay, type Clock, type Timer } from '@relight/shared/clock';
import { RelightError, toRelightError } from '@relight/shared/errors';
import type { Logger } from 'pino';
import { isRetiredName } from '../supervisor/retired-name.ts';
import type { ContainerFacts, Engine, EngineEvent } from './engine.ts';

const relistMs = 10_000;
const callMs = 5_000;
const retryMsMin = 50;
const retryMsMax = 1_000;

/**
 * What takes a container from us. Creating, starting and renaming is mostly our own doing, in the middle of a recovery that
 * extra calls would slow down; what others do of it is seen at the next look.
 */
const wakingActions: ReadonlySet<string> = new Set(['die', 'destroy', 'oom', 'pause', 'unpause']);

export interface ObserverOptions {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly ownerId: string;
  /** Container names that the configuration claims: a stranger under such a name is of interest too. */
  readonly names: readonly string[];
  /** The machine has booted since we last looked: containers fell with it. */
  readonly afterBoot: boolean;
  /** `unanswered`: ids of containers about which the engine says nothing, not even whether they are there. */
  readonly onObserved: (containers: readonly ContainerFacts[], afterOutage: boolean, unanswered: ReadonlySet<string>) => void;
  readonly onLost: (reason: string) => void;
  readonly onEvent: (event: EngineEvent) => void;
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
  /** Asked beside the looks, which would wait for them otherwise. */
  readonly #unanswered = new Set<string>();
  #relist: Timer | null = null;

  constructor(options: ObserverOptions) {
    this.#options = options;
    this.#outage = options.afterBoot;
  }

  /** Null before the first answer. */
  get up(): boolean | null {
    return this.#up;
  }

  start(): void {
    void this.#subscribe();
  }

  stop(): void {
    this.#stop.abort();
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
    void this.#look().finally(() => {
      this.#looking = false;
      if (this.#again) {
        this.#again = false;
        this.observe();
      }
    });
  }

  async #look(): Promise<void> {
    const { clock, onObserved } = this.#options;
    try {
      const silent = this.#unanswered.size;
      const containers = await this.#read();
      const afterOutage = this.#outage;
      this.#outage = false;
      this.#up = true;
      this.#retries = 0;
      // Silence about one more of them may be the beginning of the engine's own.
      this.#relist = clock.after(this.#unanswered.size > silent ? retryMsMin : relistMs, () => this.observe());
      onObserved(containers, afterOutage, new Set(this.#unanswered));
    } catch (thrown) {
      if (this.#stop.signal.aborted) return;
      const error = toRelightError(thrown, 'engine-error');
      this.#lost(error.message, error.code === 'engine-unreachable');
      const waitMs = Math.min(retryMsMax, retryMsMin * 2 ** this.#retries);
      this.#retries += 1;
      this.#relist = clock.after(waitMs, () => this.observe());
    }
  }

  async #read(): Promise<readonly ContainerFacts[]> {
    const { engine, ownerId, names } = this.#options;
    const call = { timeoutMs: callMs, signal: this.#stop.signal };
    // What was there at the last look is inspected while the lists are made: a death costs one round trip, not two.
    const [lists, known] = await Promise.all([
      Promise.all([engine.list({ labels: { 'relight.agent': ownerId } }, call), ...names.map((name) => engine.list({ name }, call))]),
      Promise.all([...this.#known].map((id) => this.#inspect(id))),
    ]);
    const listed = new Set(lists.flat());
    for (const id of this.#unanswered) if (!listed.has(id)) this.#unanswered.delete(id);
    const fresh = [...listed].filter((id) => !this.#known.has(id));
    const inspected = [...known, ...(await Promise.all(fresh.map((id) => this.#inspect(id))))];
    const facts = inspected.filter((container) => container !== null);
    this.#known = new Set(facts.map((container) => container.id));
    return facts.filter((container) => container.labels['relight.agent'] === ownerId || names.includes(container.name));
  }

  /** Null: there is no such container, or no answer about it. */
  async #inspect(id: string): Promise<ContainerFacts | null> {
    if (this.#unanswered.has(id)) return null;
    try {
      return await this.#options.engine.inspect(id, { timeoutMs: callMs, signal: this.#stop.signal });
    } catch (thrown) {
      if (!(thrown instanceof RelightError) || thrown.code !== 'engine-timeout') throw thrown;
      this.#unanswered.add(id);
      void this.#askBeside(id);
      return null;
    }
  }

  async #askBeside(id: string): Promise<void> {
    const { engine, clock } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted && this.#unanswered.has(id)) {
      try {
        await engine.inspect(id, { timeoutMs: callMs, signal });
        this.#unanswered.delete(id);
      } catch {
        await delay(clock, retryMsMax, signal).catch(() => {});
      }
    }
    this.observe();
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
    const { ownerId, names, onEvent } = this.#options;
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
