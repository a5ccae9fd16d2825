import * as z from 'zod';
import { openEnum } from './open-enum.ts';

/** Every kind of event there is. Both sides and the operator's filters use this one list. */
export const eventKinds = [
  'agent.started',
  'agent.stopped',
  'agent.connected',
  'agent.disconnected',
  'host.booted',
  'host.suspect',
  'host.dead',
  'host.recovered',
  'host.gate-waiting',
  'host.notice',
  'engine.lost',
  'engine.recovered',
  'container.died',
  'container.created',
  'container.adopted',
  'container.removed',
  'container.oom',
  'mount.mounted',
  'mount.lost',
  'mount.hung',
  'setup.step-started',
  'setup.step-failed',
  'setup.step-done',
  'process.started',
  'process.exited',
  'process.killed',
  'check.failed',
  'check.recovered',
  'workload.phase-changed',
  'workload.ready',
  'workload.degraded',
  'workload.held',
  'workload.paused',
  'workload.resumed',
  'restart.scheduled',
  'restart.escalated',
  'restart.budget-exhausted',
  'log.gap',
  'incident.opened',
  'incident.closed',
  'alert.firing',
  'alert.resolved',
  'alert.undelivered',
] as const;
export type EventKind = (typeof eventKinds)[number];

export const severities = ['info', 'warning', 'error', 'critical'] as const;
export type Severity = (typeof severities)[number];
/** On the wire. */
export const severitySchema = openEnum(severities, 'warning');

/** What somebody else has written, for a person: so many characters of it are kept. */
export const wordsSchema = (charactersMax = 4096) => z.string().overwrite((text) => text.slice(0, charactersMax));
/** Names of workloads: in a configuration they have 63 characters at most, names of containers may be longer. */
export const workloadLengthMax = 512;

/**
 * Levels of objects and lists in each other. Every one costs stack wherever it is written or copied again: beyond 1,800 the answer of the
 * collector's writing thread cannot be read, which is the answer to everybody whose write was in the same commit.
 */
const levelsMax = 32;
const isDeeper = (value: unknown, levels: number): boolean =>
  typeof value === 'object' && value !== null && (levels === 0 || Object.values(value).some((inner) => isDeeper(inner, levels - 1)));

/** Small facts for programs. What is nested too deeply for that is left out, which it says itself. */
export const factsSchema = z
  .record(z.string(), z.unknown())
  .overwrite((facts) => (isDeeper(facts, levelsMax) ? { leftOut: `more than ${levelsMax} levels` } : facts))
  .default({});

/** An event as the agent writes it into its outbox and sends it. Times are epoch milliseconds on the wire. */
export const agentEventSchema = z.object({
  /** 1, 2, 3 … within one epoch. */
  seq: z.number().int().positive(),
  at: z.number().int(),
  /** One that this version does not know yet says what it says as a notice, by its message. */
  kind: openEnum(eventKinds, 'host.notice'),
  severity: severitySchema,
  workload: z.string().max(workloadLengthMax).optional(),
  generation: z.number().int().nonnegative().optional(),
  /** One line, for a person. */
  message: z.string().max(4096),
  /** code, exitCode, signal, delayMs, attempt, stage, durationMs … */
  data: factsSchema,
});
export type AgentEvent = z.infer<typeof agentEventSchema>;
/** An event before the outbox has given it a sequence number. */
export type NewAgentEvent = Omit<AgentEvent, 'seq'>;
