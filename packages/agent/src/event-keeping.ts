/** The way of an event out of the agent, put together: through the incidents, into the outbox and the log. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { NewAgentEvent } from '@relight/shared/event';
import type { AgentContext, Emit } from './agent-context.ts';
import { makeIncidents, type HostIncidents, type MakeIncidentsOptions } from './incidents/make-incidents.ts';
import { FileOutbox } from './outbox/file-outbox.ts';

export interface EventKeepingOptions extends Pick<MakeIncidentsOptions, 'engine' | 'secrets' | 'containerOf' | 'kernelLines'> {
  readonly context: AgentContext;
}

export class EventKeeping {
  readonly outbox: FileOutbox;
  readonly incidents: HostIncidents;
  readonly #context: AgentContext;

  constructor({ context, ...about }: EventKeepingOptions) {
    const { clock, logger, stateDir, spec, random } = context;
    this.#context = context;
    this.outbox = FileOutbox.open({ directory: join(stateDir, 'outbox'), newEpoch: randomUUID, clock, logger });
    this.incidents = makeIncidents({ ...about, clock, random, spec, stateDir, warn: (message) => logger.warn(message) });
  }

  readonly emit: Emit = (event) => {
    const { event: emitted, follow } = this.incidents.incidents.take({ ...event, at: event.at ?? this.#context.clock.now() });
    for (const one of [emitted, ...follow]) this.#store(one);
  };

  /** What an earlier life of the agent could not tell any more. */
  catchUp(state: Parameters<HostIncidents['incidents']['catchUp']>[0]): void {
    for (const event of this.incidents.incidents.catchUp(state)) this.#store(event);
  }

  #store(event: NewAgentEvent): void {
    const stored = this.outbox.append(event);
    const level = event.severity === 'info' ? 'info' : event.severity === 'warning' ? 'warn' : 'error';
    this.#context.logger[level]({ kind: event.kind, workload: event.workload, seq: stored.seq, data: event.data }, event.message);
  }
}
