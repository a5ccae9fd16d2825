/**
 * Keeps looking at our containers. Events only wake it; list + inspect decides. It subscribes first and lists then, lists
 * again every 10 s and after every break of the stream, because the engine drops events silently when a reader is slow.
 *
 * An engine that refuses connections may have taken its containers down with it: the first look after that says
 * `afterOutage`. An engine that merely does not answer (hung, paused) cannot, so its silence excuses nobody's death.
 */
import { delay, type Clock, type Timer } from '@relight/shared/clock';
import { toRelightError } from '@relight/shared/errors';
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
  readonly onObserved: (containers: readonly ContainerFacts[], afterOutage: boolean) => void;
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
      const containers = await this.#read();
      const afterOutage = this.#outage;
      this.#outage = false;
      this.#up = true;
      this.#retries = 0;
      this.#relist = clock.after(relistMs, () => this.observe());
      onObserved(containers, afterOutage);
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
      Promise.all([...this.#known].map((id) => engine.inspect(id, call))),
    ]);
    const fresh = [...new Set(lists.flat())].filter((id) => !this.#known.has(id));
    const inspected = [...known, ...(await Promise.all(fresh.map((id) => engine.inspect(id, call))))];
    const facts = inspected.filter((container) => container !== null);
    this.#known = new Set(facts.map((container) => container.id));
    return facts.filter((container) => container.labels['relight.agent'] === ownerId || names.includes(container.name));
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
