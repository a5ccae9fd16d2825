/** Actions, by hand and from the collector, from when they are given until they are with the supervisors. */
import type { ActionOutcome, ControlAction } from './action.ts';
import { carryOut, imagesToAskFor, type Target } from './carry-out.ts';
import { InOrder } from './in-order.ts';

export interface OrdersOptions {
  readonly loops: ReadonlyMap<string, Target>;
  /** Why the engine does not answer; null: it does. */
  readonly engineAway: () => string | null;
  /** Which of these images are certainly not on this host. May take as long as a call of the engine may; never rejects. */
  readonly absent: (images: readonly string[]) => Promise<ReadonlySet<string>>;
  readonly now: () => number;
  /** Somebody wants to see the host's own commands tried now. */
  readonly retrySetup: () => void;
  /** Another configuration that waits for its image is tried now. Without a workload: all of them. */
  readonly tryNow: (workload: string | undefined) => void;
  readonly waiting: (workload: string | undefined) => readonly { readonly workload: string; readonly image: string }[];
}

type Order = Omit<ControlAction, 'type'>;

export class Orders {
  readonly #options: OrdersOptions;
  readonly #inOrder = new InOrder();

  constructor(options: OrdersOptions) {
    this.#options = options;
  }

  /**
   * What concerns one workload, in the order in which it was given: the engine is asked before a restart, and what came behind that
   * would overtake it. Never rejects.
   *
   * @param by for the reason: `by hand on the host`
   */
  give(order: Order, by: string): Promise<ActionOutcome> {
    const { loops } = this.#options;
    const workloads = order.workload === undefined ? [...loops.keys()] : [order.workload];
    return this.#inOrder.run(workloads, () => this.#carryOut(order, by));
  }

  async #carryOut(order: Order, by: string): Promise<ActionOutcome> {
    const { loops, engineAway, absent, now, retrySetup, tryNow, waiting } = this.#options;
    if (order.action === 'resume' && order.workload === undefined) retrySetup();
    const images = imagesToAskFor(order, loops);
    const missing = images.length === 0 || engineAway() !== null ? new Set<string>() : await absent(images);
    const outcome = carryOut(order, loops, { by, now: now(), engineAway: engineAway(), absent: missing });
    if (!outcome.ok || order.action === 'pause') return outcome;
    tryNow(order.workload);
    const held = waiting(order.workload).map(({ workload, image }) => `${workload} (${image})`);
    if (held.length === 0) return outcome;
    return {
      ...outcome,
      message: `${outcome.message}; under the configuration before, as long as the image of the new one is not here: ${held.join(', ')}`,
    };
  }
}
