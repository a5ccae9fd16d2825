/**
 * The engine's own log of every container we own: followed while it lives, read to the end when it is dead. Only json-file
 * keeps a file that can be read with exact offsets; about any other driver it is said once that its lines do not come.
 */
import type { NewAgentEvent } from '@relight/shared/event';
import type { SegmentKey } from '@relight/shared/log-stream';
import type { ContainerFacts } from '../engine/engine.ts';
import type { LogShipper } from './log-shipper.ts';

interface ContainerLogsOptions {
  readonly shipper: LogShipper;
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
    if (facts.logDriver !== 'json-file' || facts.logPath === '') {
      this.#known.set(facts.id, 'unreadable');
      this.#unreadable(facts);
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

  #unreadable(facts: ContainerFacts): void {
    const workload = facts.labels['relight.workload'];
    this.#options.emit({
      kind: 'log.gap',
      severity: 'warning',
      ...(workload === undefined ? {} : { workload }),
      message: `the container's own output is not collected: log driver ${facts.logDriver} keeps no file that can be read (use json-file)`,
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
