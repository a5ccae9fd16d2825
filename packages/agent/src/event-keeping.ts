/** The way of an event out of the agent, put together: through the incidents, into the outbox and the log. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { AgentEvent, NewAgentEvent } from '@relight/shared/event';
import type { AgentContext, Emit } from './agent-context.ts';
import type { SecretValues } from './config/secret-values.ts';
import { Ring } from './control/support/recent.ts';
import type { ReportedCondition } from './host/conditions.ts';
import { makeIncidents, type HostIncidents, type MakeIncidentsOptions } from './incidents/make-incidents.ts';
import { FileOutbox } from './outbox/file-outbox.ts';

export interface EventKeepingOptions extends Pick<MakeIncidentsOptions, 'engine' | 'secrets' | 'containerOf' | 'kernelLines'> {
  readonly context: AgentContext;
  /** Undefined: of the host, which knows those of all workloads. */
  readonly secretsOf: (workload: string | undefined) => Pick<SecretValues, 'text' | 'data'>;
}

const recentEvents = 500;

export class EventKeeping {
  /** For whoever asks on the host. */
  readonly recent = new Ring<AgentEvent>(
    recentEvents,
    recentEvents * 1_024,
    ({ message, data }) => message.length + 16 * Object.keys(data).length,
  );
  readonly outbox: FileOutbox;
  readonly incidents: HostIncidents;
  readonly #context: AgentContext;
  readonly #directory: string;
  readonly #secretsOf: EventKeepingOptions['secretsOf'];

  constructor({ context, secretsOf, ...about }: EventKeepingOptions) {
    const { clock, logger, stateDir, spec, random } = context;
    this.#context = context;
    this.#secretsOf = secretsOf;
    this.#directory = join(stateDir, 'outbox');
    this.outbox = FileOutbox.open({ directory: this.#directory, newEpoch: randomUUID, clock, logger });
    const history = this.outbox;
    const workloads = (): readonly string[] => context.spec.workloads.map(({ name }) => name);
    const warn = (message: string): void => logger.warn(message);
    this.incidents = makeIncidents({ ...about, clock, random, spec, workloads, stateDir, history, warn });
    const { incidents } = this.incidents;
    this.#store(incidents.unheard());
  }

  readonly emit: Emit = (event) => {
    const at = event.at ?? this.#context.clock.now();
    const { event: emitted, follow } = this.incidents.incidents.take({ ...this.#withoutSecrets(event), at });
    this.#store([emitted, ...follow]);
  };

  /** What an earlier life of the agent could not tell any more. */
  catchUp(state: Parameters<HostIncidents['incidents']['catchUp']>[0]): void {
    this.#store(this.incidents.incidents.catchUp(state));
  }

  /** Other workloads are configured now: nobody will see those ready that are no more. */
  reconfigured(): void {
    this.#store(this.incidents.incidents.reconfigured());
  }

  /** What is wrong with the disk of the outbox as long as it is; of a full or read-only one others say it. */
  conditions(): readonly ReportedCondition[] {
    const { trouble } = this.outbox;
    if (trouble === null) return [];
    const reason = `the queue of events cannot be read or written: ${trouble.reason}; new ones are sent all the same, and it is tried again at the latest after five minutes`;
    const advice =
      `Look at the disk of ${this.#directory} (dmesg). If it is lost for good: stop the agent, move the directory away, start it. ` +
      'Workloads go on as they are.';
    return [{ name: 'event-queue-failing', subject: this.#directory, severity: 'error', reason, advice }];
  }

  /** The one way that every event goes, whoever tells it: a part that quotes a program needs not think of it. */
  #withoutSecrets<T extends Omit<NewAgentEvent, 'at'>>(event: T): T {
    const secrets = this.#secretsOf(event.workload);
    return { ...event, message: secrets.text(event.message), data: { ...secrets.data(event.data), ...identity(event) } };
  }

  #store(events: readonly NewAgentEvent[]): void {
    const stored = events.map((event) => ({ ...this.outbox.append(event), epoch: this.outbox.epoch }));
    for (const { epoch: _, ...event } of stored) this.recent.add(event);
    this.incidents.incidents.written();
    for (const [index, { kind, severity, workload, data, message }] of events.entries()) {
      const level = severity === 'info' ? 'info' : severity === 'warning' ? 'warn' : 'error';
      const { epoch, seq } = stored[index] ?? {};
      this.#context.logger[level]({ kind, workload, epoch, seq, data }, message);
    }
  }
}

const identities: ReadonlySet<string> = new Set(['condition', 'subject', 'state']);

/** By what a condition of the host that was raised is found again, though an env file says the same word. */
function identity({ workload, data }: Omit<NewAgentEvent, 'at'>): NewAgentEvent['data'] {
  if (workload !== undefined || data['condition'] === undefined) return {};
  return Object.fromEntries(Object.entries(data).filter(([key]) => identities.has(key)));
}
