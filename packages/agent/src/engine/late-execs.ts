/**
 * Commands whose deadline was over, or whose caller had gone, before they had begun. An engine that was slow (a busy disk, a lock, a
 * pause) may begin one minutes later, when nobody waits for it: a mount command or a check that then runs beside the next one. Each is
 * killed when it begins.
 */
import { delay } from '@relight/shared/clock';
import { toRelightError } from '@relight/shared/errors';
import type { DockerClient } from './docker-client.ts';
import { killExec } from './exec-kill.ts';

const pauseMsMin = 250;
const pauseMsMax = 5_000;
/** An engine that has not begun one by then has lost it, or was never asked to. */
const awaitedMs = 15 * 60_000;
/** Of an engine that hangs for as long. The oldest are given up first. */
const execsMax = 256;

export class LateExecs {
  readonly #client: DockerClient;
  /** By the engine's id; until when it is looked at, monotonic. */
  readonly #awaited = new Map<string, number>();
  #pauseMs = pauseMsMin;
  #looking = false;

  constructor(client: DockerClient) {
    this.#client = client;
  }

  add(execId: string): void {
    this.#awaited.set(execId, this.#client.clock.monotonic() + awaitedMs);
    const [oldest] = this.#awaited.keys();
    if (this.#awaited.size > execsMax && oldest !== undefined) this.#awaited.delete(oldest);
    this.#pauseMs = pauseMsMin;
    if (!this.#looking) void this.#look();
  }

  /** One is asked about after the other: an engine that hangs is not asked many things at a time. */
  async #look(): Promise<void> {
    this.#looking = true;
    while (this.#awaited.size > 0) {
      await delay(this.#client.clock, this.#pauseMs);
      this.#pauseMs = Math.min(pauseMsMax, this.#pauseMs * 2);
      for (const [execId, until] of this.#awaited)
        if ((await this.#isDealtWith(execId)) || this.#client.clock.monotonic() >= until) this.#awaited.delete(execId);
    }
    this.#looking = false;
  }

  async #isDealtWith(execId: string): Promise<boolean> {
    try {
      return (await killExec(this.#client, execId)) !== null;
    } catch (thrown) {
      // Any other answer says that it is known no more: the container is gone, or the engine has begun anew.
      return !['engine-timeout', 'engine-unreachable'].includes(toRelightError(thrown).code);
    }
  }
}
