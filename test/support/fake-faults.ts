/** What stands between a call and the fake engine: scripted failures, an engine that is frozen or down. */
import type { Clock } from '@relight/shared/clock';
import { RelightError } from '@relight/shared/errors';
import type { CallOptions, Engine } from '../../packages/agent/src/engine/engine.ts';

/** The deadline of a call without one of its own. */
export const fakeCallTimeoutMs = 10_000;

export class FakeFaults {
  state: 'up' | 'frozen' | 'down' = 'up';
  readonly #clock: Clock;
  readonly #scripted = new Map<keyof Engine, { readonly error: RelightError; times: number }>();
  #waiting: (() => void)[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  set(call: keyof Engine, error: RelightError, times: number): void {
    this.#scripted.set(call, { error, times });
  }

  clear(call: keyof Engine): void {
    this.#scripted.delete(call);
  }

  goUp(): void {
    this.state = 'up';
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** Resolves when the call may be answered. */
  async pass(call: keyof Engine, options: CallOptions): Promise<void> {
    // A real engine never answers within the same turn.
    await Promise.resolve();
    if (options.signal?.aborted === true) throw cancellation(options.signal.reason);
    if (this.state === 'frozen') await this.#thaw(options);
    if (this.state === 'down') throw unreachable();
    const fault = this.#scripted.get(call);
    if (fault === undefined) return;
    fault.times -= 1;
    if (fault.times <= 0) this.#scripted.delete(call);
    throw fault.error;
  }

  #thaw({ timeoutMs = fakeCallTimeoutMs, signal }: CallOptions): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = this.#clock.after(timeoutMs, () => reject(new RelightError('engine-timeout', `no answer within ${timeoutMs} ms`)));
      const end = (settle: () => void): void => {
        timer.cancel();
        settle();
      };
      signal?.addEventListener('abort', () => end(() => reject(cancellation(signal.reason))), { once: true });
      this.#waiting.push(() => end(resolve));
    });
  }
}

export const unreachable = (): RelightError => new RelightError('engine-unreachable', 'connect ECONNREFUSED');

export const cancellation = (reason: unknown): RelightError =>
  reason instanceof RelightError ? reason : new RelightError('cancelled', 'the call was cancelled', { cause: reason });
