/** Watches an agent while something is broken: does its socket answer, and how many children does it have? What it has to begin with is none. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Bystander } from './bystander.ts';
import { waitFor } from './wait.ts';

const everyMs = 50;

export class AgentWatch implements AsyncDisposable {
  readonly #worker: Bystander;
  readonly #done: Promise<void>;
  #going = true;
  #childrenMax = 0;
  #slowestAnswerMs = 0;
  #answers = 0;

  /** Whoever was started a moment ago may still be finding out about its host. */
  static async start(worker: Bystander): Promise<AgentWatch> {
    await waitFor(() => childrenOf(worker) === 0, { what: 'the agent to have no child', timeoutMs: 30_000, everyMs: 5 });
    return new AgentWatch(worker);
  }

  private constructor(worker: Bystander) {
    this.#worker = worker;
    this.#done = this.#watch();
  }

  children(): number {
    return childrenOf(this.#worker);
  }

  /** Ends the watch and fails with whatever went wrong on the way. */
  async stop(): Promise<{ readonly childrenMax: number; readonly slowestAnswerMs: number; readonly answers: number }> {
    this.#going = false;
    await this.#done;
    return { childrenMax: this.#childrenMax, slowestAnswerMs: this.#slowestAnswerMs, answers: this.#answers };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#going = false;
    await this.#done.catch(() => undefined);
  }

  async #watch(): Promise<void> {
    while (this.#going) {
      this.#childrenMax = Math.max(this.#childrenMax, this.children());
      const began = performance.now();
      await this.#worker.control.status();
      this.#slowestAnswerMs = Math.max(this.#slowestAnswerMs, performance.now() - began);
      this.#answers += 1;
      await sleep(everyMs);
    }
  }
}

/** Of its agent at this moment, as the kernel lists them. */
function childrenOf({ agent: { service } }: Bystander): number {
  return readFileSync(`/proc/${service.pid}/task/${service.pid}/children`, 'utf8')
    .split(' ')
    .filter((child) => child !== '').length;
}
