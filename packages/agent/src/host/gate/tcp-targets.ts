/** Addresses that must accept a connection: asked slowly while they do, soon again while they do not. */
import type { Clock, Timer } from '@relight/shared/clock';
import { connects } from '../../checks/tcp.ts';
import type { Outcome } from '../../checks/outcome.ts';

/** Thousands of hosts may name the same address. */
const restMs = 15_000;
const retryMs = 2_000;
const timeoutMs = 5_000;

export interface TcpTargetsOptions {
  readonly addresses: readonly string[];
  readonly clock: Clock;
  readonly random: () => number;
  /** An answer differs from the one before. */
  readonly onChange: () => void;
}

interface Target {
  readonly address: string;
  /** Null: not asked yet. */
  outcome: Outcome | null;
  askedAt: number;
  asking: Promise<void> | null;
  timer: Timer | null;
}

export class TcpTargets {
  readonly #options: TcpTargetsOptions;
  readonly #targets: readonly Target[];
  readonly #stop = new AbortController();

  constructor(options: TcpTargetsOptions) {
    this.#options = options;
    this.#targets = options.addresses.map((address) => ({ address, outcome: null, askedAt: -Infinity, asking: null, timer: null }));
  }

  /** What each last said; null: it was not asked yet. */
  answers(): readonly { readonly address: string; readonly outcome: Outcome | null }[] {
    return this.#targets;
  }

  /** Resolves when every answer is at most `ageMsMax` old. */
  async ask(ageMsMax: number): Promise<void> {
    const now = this.#options.clock.monotonic();
    await Promise.all(this.#targets.filter(({ askedAt }) => now - askedAt > ageMsMax).map((target) => this.#ask(target)));
  }

  stop(): void {
    this.#stop.abort();
    for (const target of this.#targets) target.timer?.cancel();
  }

  #ask(target: Target): Promise<void> {
    target.asking ??= this.#connect(target).finally(() => {
      target.asking = null;
    });
    return target.asking;
  }

  async #connect(target: Target): Promise<void> {
    const { clock, random, onChange } = this.#options;
    target.timer?.cancel();
    const outcome = await connects(target.address, timeoutMs, this.#stop.signal);
    if (this.#stop.signal.aborted) return;
    const changed = target.outcome?.ok !== outcome.ok || target.outcome.message !== outcome.message;
    target.outcome = outcome;
    target.askedAt = clock.monotonic();
    target.timer = clock.after((outcome.ok ? restMs : retryMs) * (0.75 + 0.5 * random()), () => void this.#ask(target));
    if (changed) onChange();
  }
}
