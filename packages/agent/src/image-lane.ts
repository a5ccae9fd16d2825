/**
 * Brings one image that another configuration of a workload waits for, beside everything else: looks for it, pulls it, and tries again.
 * What is done with it is for whoever waits to say (held-configurations.ts).
 */
import { isoTime } from '@relight/shared/api';
import type { Clock, Timer } from '@relight/shared/clock';
import { catalogue, RelightError, toRelightError } from '@relight/shared/errors';
import type { Severity } from '@relight/shared/event';
import type { WaitingConfiguration } from '@relight/shared/status';
import { formatDurationMs } from '@relight/shared/units';
import type { WorkloadSpec } from './config/spec.ts';
import type { Engine } from './engine/engine.ts';
import { inPlainWords, isPullFailure } from './stages/plain-words.ts';
import { pull } from './stages/pull.ts';
import { isSameTrouble } from './supervisor/hold.ts';
import { nextTry, noTries, type ImageTries } from './supervisor/image-standing.ts';
import type { Failure } from './supervisor/op.ts';

const callMs = 5_000;
/** A registry that has said nothing new for so long is worth a word, though the engine goes on waiting for it. */
const silentMs = 60_000;

export interface ImageLaneOptions {
  readonly engine: Pick<Engine, 'hasImage' | 'pull'>;
  readonly clock: Clock;
  /** Epoch milliseconds that never jump. */
  readonly now: () => number;
  readonly random: () => number;
  /** What waits: its image, and how failures of its container are spaced. */
  readonly wanted: WorkloadSpec;
  /** Why nothing may be done now; null: it may. */
  readonly halted: () => string | null;
  /** For people: without secrets. */
  readonly text: (text: string) => string;
  /** Nothing stands in the way, and the image is here. */
  readonly onHere: () => void;
  /** The status has changed. */
  readonly onChange: () => void;
  readonly tell: (severity: Severity, message: string, data: Readonly<Record<string, unknown>>) => void;
}

type Trouble = Pick<Failure, 'code' | 'message' | 'recoverable' | 'advice'>;

export class ImageLane {
  readonly #options: ImageLaneOptions;
  readonly #stop = new AbortController();
  readonly #since: number;
  #tries: ImageTries = noTries;
  #trouble: Trouble | null = null;
  #told: Trouble | null = null;
  #progress: string | null = null;
  #silent = false;
  /** It is here, and something stands in the way of taking it up. */
  #arrived = false;
  #silence: Timer | null = null;
  #retry: Timer | null = null;
  #nextAttemptAt: number | null = null;
  #looking = false;
  #glanceAgain = false;

  constructor(options: ImageLaneOptions) {
    this.#options = options;
    this.#since = options.now();
  }

  /** Begins, or tries now: somebody wants to see it. A pull under way goes on. */
  wake(): void {
    if (this.#looking) return;
    this.#retry?.cancel();
    this.#retry = null;
    this.#nextAttemptAt = null;
    void this.#look();
  }

  /**
   * What stood in the way is perhaps gone, by itself. A gate or a mount that comes and goes must not ask a registry each time: after a
   * pull that failed its time is waited for.
   */
  resume(): void {
    const waits = this.#retry !== null && this.#trouble !== null && isPullFailure(this.#trouble.code);
    if (waits) this.#options.onChange();
    else this.wake();
  }

  /** An image has come, perhaps this one. No registry is asked for that. */
  glance(): void {
    if (this.#looking) this.#glanceAgain = true;
    else void this.#glance();
  }

  stop(): void {
    this.#stop.abort(new RelightError('cancelled', 'nothing waits for the image any more'));
    this.#retry?.cancel();
    this.#silence?.cancel();
  }

  /** It is not known yet whether it can be had. */
  get isUndecided(): boolean {
    return this.#trouble === null && !this.#arrived;
  }

  /** It has been tried in vain, or the registry is silent: somebody has to look at it. */
  get isMissing(): boolean {
    return (this.#trouble !== null && isPullFailure(this.#trouble.code)) || this.#silent;
  }

  status(): WaitingConfiguration {
    const { wanted, halted } = this.#options;
    const { image } = wanted.container;
    const obstacle = halted();
    const why = this.#arrived ? `the image ${image} is here` : (this.#trouble?.message ?? `the image ${image} is not on this host`);
    const silent = this.#silent ? `, and its registry has said nothing for ${formatDurationMs(silentMs)}` : '';
    return {
      image,
      since: this.#since,
      progress: this.#progress,
      reason: `${why}${silent}${obstacle === null ? '' : `; ${this.#postponed()}: ${obstacle}`}`,
      advice: this.#trouble?.advice ?? (this.#silent ? catalogue['image-pull-failed'].advice : ''),
      nextAttemptAt: this.#nextAttemptAt,
    };
  }

  #postponed(): string {
    if (this.#arrived) return 'the new configuration is not taken up now';
    return this.#progress === null ? 'nothing is pulled now' : 'the pull under way goes on, but nothing is taken up now';
  }

  async #look(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    // Whoever ends it wakes us.
    if (this.#options.halted() !== null) {
      this.#options.onChange();
      return;
    }
    this.#looking = true;
    this.#arrived = false;
    this.#glanceAgain = false;
    const failure = await this.#bring();
    this.#looking = false;
    this.#listen(null);
    if (this.#stop.signal.aborted) return;
    if (failure === null) this.#here();
    else this.#failed(failure);
  }

  async #glance(): Promise<void> {
    const { engine, wanted } = this.#options;
    const { signal } = this.#stop;
    if (signal.aborted) return;
    const here = await engine.hasImage(wanted.container.image, { timeoutMs: callMs, signal }).catch(() => false);
    // One that began meanwhile has seen it, or will.
    if (signal.aborted || this.#looking) return;
    if (here) this.#here();
    else this.#arrived = false;
  }

  #here(): void {
    const { halted, onHere, onChange } = this.#options;
    if (halted() === null) {
      onHere();
      return;
    }
    this.#arrived = true;
    this.#trouble = null;
    this.#nextAttemptAt = null;
    this.#retry?.cancel();
    onChange();
  }

  /** Null: it is here. Never rejects. */
  async #bring(): Promise<Trouble | null> {
    const { engine, clock, wanted, text } = this.#options;
    const { image, pullPolicy } = wanted.container;
    const { signal } = this.#stop;
    try {
      if (await engine.hasImage(image, { timeoutMs: callMs, signal })) return null;
      if (pullPolicy === 'never') return forbidden(image);
      await pull({ engine, clock, spec: wanted, signal, progress: (line) => this.#listen(text(line)) });
      return null;
    } catch (thrown) {
      const { code, message, recoverable, advice } = toRelightError(inPlainWords('pull', image, thrown));
      return { code, message: text(message), recoverable, advice };
    }
  }

  /** Null: nothing is pulled any more. */
  #listen(progress: string | null): void {
    this.#progress = progress;
    this.#silent = false;
    this.#silence?.cancel();
    this.#silence = null;
    if (progress !== null && !this.#stop.signal.aborted) {
      this.#silence = this.#options.clock.after(silentMs, () => {
        this.#silent = true;
        this.#options.onChange();
      });
    }
    this.#options.onChange();
  }

  #failed(trouble: Trouble): void {
    const { wanted, now, random, clock, onChange } = this.#options;
    this.#trouble = trouble;
    const { tries, delayMs } = nextTry(this.#tries, trouble, wanted.restart.container, now(), random());
    this.#tries = tries;
    this.#nextAttemptAt = now() + delayMs;
    this.#retry = clock.after(delayMs, () => this.wake());
    this.#tell(trouble, this.#nextAttemptAt);
    onChange();
    if (this.#glanceAgain) void this.#glance();
  }

  /** Once, until it is another trouble. An engine that does not answer says so itself. */
  #tell(trouble: Trouble, nextAttemptAt: number): void {
    if (!isPullFailure(trouble.code) || (this.#told !== null && isSameTrouble(this.#told, trouble))) return;
    this.#told = trouble;
    const { code, message, recoverable, advice } = trouble;
    this.#options.tell('warning', `the new configuration waits, and what runs goes on: ${message}. ${advice}`, {
      configuration: 'image-missing',
      image: this.#options.wanted.container.image,
      code,
      recoverable,
      advice,
      nextAttemptAt: isoTime(nextAttemptAt),
    });
  }
}

const forbidden = (image: string): Trouble => ({
  code: 'image-not-found',
  message: `the image ${image} is not on this host, and pull_policy is never`,
  recoverable: false,
  advice: `Bring it (docker load, or docker pull ${image}), correct image, or set pull_policy: missing.`,
});
