/** The accelerators of this host, put together: what watches them, what others may ask, and what is said of them. */
import { join } from 'node:path';
import type { Clock } from '@relight/shared/clock';
import { RelightError } from '@relight/shared/errors';
import { type Accelerator, acceleratorsMax } from '@relight/shared/status';
import type { AgentSpec, ContainerSpec } from '../../config/spec.ts';
import type { ReportedCondition } from '../condition-diff.ts';
import { GpuMonitor } from './gpu-monitor.ts';
import { Smi } from './smi.ts';
import { usesGpus } from './wants.ts';

export interface AcceleratorsOptions {
  readonly clock: Clock;
  readonly spec: AgentSpec;
  readonly stateDir: string;
  readonly bootId: string;
  /** The agent's own PATH. */
  readonly path: string;
  readonly report: (source: string, conditions: readonly ReportedCondition[]) => void;
}

export class Accelerators {
  readonly #gpus: GpuMonitor;

  constructor({ clock, spec, stateDir, bootId, path, report }: AcceleratorsOptions) {
    const smi = new Smi({ clock, path });
    this.#gpus = new GpuMonitor({
      clock,
      look: () => smi.look(),
      file: join(stateDir, 'gpus.json'),
      bootId,
      expected: null,
      needed: spec.workloads.some(({ container }) => usesGpus(container)),
      onLook: ({ conditions }) => report('gpu', conditions),
    });
  }

  start(): void {
    this.#gpus.start();
  }

  dispose(): void {
    this.#gpus.dispose();
  }

  list(): readonly Accelerator[] {
    return this.#gpus.health.accelerators.slice(0, acceleratorsMax);
  }

  /** Fails while such a container would be started in vain, with what a person has to do. */
  async mayStart(container: ContainerSpec): Promise<void> {
    if (!usesGpus(container)) return;
    // What stood in the way may be gone by now: a driver that was reloaded is not waited for.
    const known = this.#gpus.health;
    const { block } = this.#gpus.report === null || known.block !== null ? await this.#gpus.look() : known;
    if (block !== null) throw new RelightError(block.code, block.message, { recoverable: false, advice: block.advice });
  }
}
