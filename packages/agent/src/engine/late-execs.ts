/**
 * Commands whose deadline was over, or whose caller had gone, before they had begun. An engine that was slow (a busy disk, a lock, a
 * pause) may begin one minutes later, when nobody waits for it: a mount command or a check that then runs beside the next one. Each is
 * killed when it begins.
 */
import { delay } from '@relight/shared/clock';
import { toRelightError, type ErrorCode } from '@relight/shared/errors';
import type { DockerClient } from './docker-client.ts';
import { killExec } from './exec-kill.ts';

const pauseMsMin = 250;
const pauseMsMax = 5_000;
/** An engine that has not begun one by then has lost it, or was never asked to. */
const awaitedMs = 15 * 60_000;
/** Of an engine that hangs for as long. The oldest are given up first. */
const execsMax = 256;
const stateTimeoutMs = 2_000;
const forgotten: ReadonlySet<ErrorCode> = new Set(['container-exited', 'container-removed']);

export class LateExecs {
  readonly #client: DockerClient;
  /** By the engine's id; until when it is looked at, monotonic. */
  readonly #awaited = new Map<string, { readonly containerId: string; readonly until: number }>();
  #pauseMs = pauseMsMin;
  #looking = false;

  constructor(client: DockerClient) {
    this.#client = client;
  }

  add(execId: string, containerId: string): void {
    this.#awaited.set(execId, { containerId, until: this.#client.clock.monotonic() + awaitedMs });
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
      for (const [execId, { containerId, until }] of this.#awaited)
        if ((await this.#isDealtWith(execId, containerId)) || this.#client.clock.monotonic() >= until) this.#awaited.delete(execId);
    }
    this.#looking = false;
  }

  async #isDealtWith(execId: string, containerId: string): Promise<boolean> {
    try {
      return (await killExec(this.#client, execId)) !== null || !(await this.#mayBegin(containerId));
    } catch (thrown) {
      // It is known no more: the container is gone, or the engine has begun anew. Any other failure of the engine says nothing about it.
      return forgotten.has(toRelightError(thrown).code);
    }
  }

  /** Not in a container that has stopped: what the engine begins in the next run of it was asked for then. */
  async #mayBegin(containerId: string): Promise<boolean> {
    const answer = await this.#client.call('other', { timeoutMs: stateTimeoutMs }, (connection) =>
      connection.send({ method: 'GET', path: `/containers/${containerId}/json` }),
    );
    return (answer as { readonly State?: { readonly Running?: boolean } }).State?.Running !== false;
  }
}
