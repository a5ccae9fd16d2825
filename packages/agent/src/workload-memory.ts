/**
 * What the loop of one workload must not forget: its state, written together with the events that tell of it, which are told
 * right after it. A kill -9 between the two loses none and doubles none: the next life appends what is missing (outbox/telling.ts).
 */
import type { Clock } from '@relight/shared/clock';
import { errorMessage } from '@relight/shared/errors';
import type { NewAgentEvent } from '@relight/shared/event';
import { untold, type OutboxHistory } from './outbox/telling.ts';
import { durable, type WorkloadState } from './supervisor/state.ts';
import type { SavedConfiguration, SavedWorkload, WorkloadStore } from './workload-store.ts';

export interface WorkloadMemoryOptions {
  readonly workload: string;
  readonly store: Pick<WorkloadStore, 'load' | 'save'>;
  /** Of the outbox that `emit` appends to. */
  readonly history: OutboxHistory;
  readonly emit: (event: NewAgentEvent) => void;
  readonly clock: Clock;
}

export class WorkloadMemory {
  readonly #options: WorkloadMemoryOptions;
  #unsaved = false;

  constructor(options: WorkloadMemoryOptions) {
    this.#options = options;
  }

  /** Of an earlier life, whose last events are told now if it was killed before them. Once, before anything else is told. */
  recall(): SavedWorkload | null {
    const { workload, store, history } = this.#options;
    const saved = store.load(workload);
    const events = saved?.telling === undefined ? [] : untold(saved.telling, history);
    if (saved === null || events.length === 0) return saved;
    try {
      // After a power loss the outbox may end before the position that stands there: it would be told once more.
      store.save(workload, { ...saved, telling: { after: history.position, events } });
    } catch {
      // The first step says so.
    }
    this.#tell(events);
    return saved;
  }

  /** A disk that takes no more must not stop recovery: labels, RELIGHT_RUN and the engine can tell all of it again. */
  keep(state: WorkloadState, { spec, vars }: SavedConfiguration, events: readonly NewAgentEvent[]): void {
    const { workload, store, history } = this.#options;
    const before = this.#unsaved;
    const telling = events.length === 0 ? {} : { telling: { after: history.position, events } };
    let trouble: unknown;
    try {
      store.save(workload, { state: durable(state), spec, ...(vars === undefined ? {} : { vars }), ...telling });
      this.#unsaved = false;
    } catch (error) {
      this.#unsaved = true;
      trouble = error;
    }
    this.#tell(events);
    // Said once per outage.
    if (this.#unsaved && !before)
      this.#notice('error', `the state directory cannot be written (${errorMessage(trouble)}); supervision goes on without`);
    if (!this.#unsaved && before) this.#notice('info', 'the state directory can be written again');
  }

  #tell(events: readonly NewAgentEvent[]): void {
    for (const event of events) this.#options.emit(event);
  }

  #notice(severity: 'info' | 'error', message: string): void {
    const { workload, clock } = this.#options;
    this.#tell([{ kind: 'host.notice', severity, message, data: {}, at: clock.now(), workload }]);
  }
}
