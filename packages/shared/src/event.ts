import * as z from 'zod';

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

/** An event as the agent writes it into its outbox and sends it. Times are epoch milliseconds on the wire. */
export const agentEventSchema = z.object({
  /** 1, 2, 3 … within one epoch. */
  seq: z.number().int().positive(),
  at: z.number().int(),
  kind: z.enum(eventKinds),
  severity: z.enum(severities),
  workload: z.string().optional(),
  generation: z.number().int().nonnegative().optional(),
  /** One line, for a person. */
  message: z.string().max(4096),
  /** Small facts for programs: code, exitCode, signal, delayMs, attempt, stage, durationMs … */
  data: z.record(z.string(), z.unknown()).default({}),
});
export type AgentEvent = z.infer<typeof agentEventSchema>;
/** An event before the outbox has given it a sequence number. */
export type NewAgentEvent = Omit<AgentEvent, 'seq'>;
