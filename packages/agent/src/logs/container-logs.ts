/**
 * The engine's own log of every container we own: followed while it lives, read to the end when it is dead. json-file keeps a
 * file that can be read with exact offsets; the lines of other drivers come through the engine, or it is said once that they do not.
 */
import type { NewAgentEvent } from '@relight/shared/event';
import type { SegmentKey } from '@relight/shared/log-stream';
import type { ContainerFacts } from '../engine/engine.ts';
import type { LogShipper } from './log-shipper.ts';
import type { ApiLogs } from './origins/api-logs.ts';

interface ContainerLogsOptions {
  readonly shipper: LogShipper;
  /** Null: there is no collector, and what the engine keeps may stay there. */
  readonly api: Pick<ApiLogs, 'seen'> | null;
  readonly emit: (event: Omit<NewAgentEvent, 'at'>) => void;
}

export class ContainerLogs {
  readonly #options: ContainerLogsOptions;
  /** By container id: how far we are with it. Containers that are gone stay as ids only. */
  readonly #known = new Map<string, 'followed' | 'finished' | 'unreadable'>();

  constructor(options: ContainerLogsOptions) {
    this.#options = options;
  }

  seen(facts: ContainerFacts): void {
    const state = this.#known.get(facts.id);
    if (state === 'unreadable' || facts.startedAt === null) return;
    if (facts.logDriver === 'none') {
      this.unreadable(facts);
      return;
    }
    if (facts.logDriver !== 'json-file' || facts.logPath === '') {
      this.#options.api?.seen(facts);
      return;
    }
    const alive = facts.status === 'running' || facts.status === 'paused';
    const key = segmentOf(facts);
    if (state !== 'followed' && (alive || state === undefined)) {
      this.#options.shipper.follow({ key, path: facts.logPath, format: 'json-file' });
      this.#known.set(facts.id, 'followed');
    }
    if (!alive && this.#known.get(facts.id) === 'followed') {
      this.#options.shipper.finish(key);
      this.#known.set(facts.id, 'finished');
    }
  }

  /** The engine cannot read what it keeps of this one, or keeps nothing. Said once a container. */
  unreadable(facts: ContainerFacts): void {
    if (this.#known.get(facts.id) === 'unreadable') return;
    this.#known.set(facts.id, 'unreadable');
    const workload = facts.labels['relight.workload'];
    const advice = 'use json-file or local, or let the engine keep a copy (cache-disabled: "false" in the options of the driver)';
    this.#options.emit({
      kind: 'log.gap',
      severity: 'warning',
      ...(workload === undefined ? {} : { workload }),
      message: `the container's own output is not collected: the engine cannot read it back from the log driver ${facts.logDriver}; ${advice}`,
      data: { containerId: facts.id, driver: facts.logDriver, reason: 'unreadable-driver' },
    });
  }
}

function segmentOf(facts: ContainerFacts): SegmentKey {
  return {
    workload: facts.labels['relight.workload'] ?? facts.name,
    generation: Number(facts.labels['relight.generation'] ?? 0),
    source: 'container',
    run: facts.id.slice(0, 12),
  };
}
