/** What the local socket answers: everything a person on the host may want to know, times in epoch milliseconds. */
import { apiWaitingConfiguration, isoTime, isoTimeOrNull, type ApiWorkload } from '@relight/shared/api';
import { agentMetricsSchema } from '@relight/shared/agent-metrics';
import { segmentKeySchema } from '@relight/shared/log-stream';
import { acceleratorSchema, hostConditionSchema, hostGateSchema, hostMetricsSchema, workloadStatusSchema } from '@relight/shared/status';
import * as z from 'zod';

export const configStatusSchema = z.object({
  file: z.string(),
  /** When what holds now was read. */
  loadedAt: z.number(),
  /** Why the file as it is now is not what holds, and where it is wrong (without what stands there); null: it holds. */
  refused: z.object({ at: z.number(), reason: z.string(), places: z.array(z.string()).readonly().optional() }).nullable(),
  /** What waits until the agent starts over; null: nothing does. */
  pending: z.string().nullable(),
});
export type ConfigStatus = z.infer<typeof configStatusSchema>;

export const gapStatusSchema = z.object({
  /** When counting began, with the agent's process. */
  since: z.number(),
  /** That the collector was told of. */
  count: z.number().int().nonnegative(),
  /** Missing in them, of those that say how many. */
  lines: z.number().nonnegative(),
  bytes: z.number().nonnegative(),
  /** Given up for want of room, and the collector has not heard of it yet. */
  untoldBytes: z.number().nonnegative(),
  last: z.object({ segment: segmentKeySchema, reason: z.string(), at: z.number() }).nullable(),
});
export type GapStatus = z.infer<typeof gapStatusSchema>;

export const agentStatusSchema = z.object({
  agentId: z.string(),
  host: z.string(),
  version: z.string(),
  bootId: z.string(),
  startedAt: z.number(),
  engine: z.object({
    state: z.enum(['up', 'down']),
    /** Why it is down, or since when it is up: for a person. */
    reason: z.string(),
    version: z.string().nullable(),
  }),
  /** Null: an agent that cannot tell. */
  configuration: configStatusSchema.nullable().default(null),
  /** Null: the agent works alone. */
  collector: z
    .object({
      url: z.string(),
      connected: z.boolean(),
      since: z.number(),
      lastError: z.string().nullable(),
      /** What a person can do about it. Null: nothing is wrong, or the agent is older than this field. */
      lastAdvice: z.string().nullable().default(null),
      /** Not yet acknowledged by the collector. */
      lagEvents: z.number().int().nonnegative(),
      lagBytes: z.number().nonnegative(),
      /** What it said last of this host's clock: above 0 is ahead of its own. Null: nothing, or this clock was set since. */
      clock: z.object({ skewMs: z.number(), ageMs: z.number().nonnegative() }).nullable().default(null),
      /** Another host that came with the machine id of this one within the last minutes, and was refused. */
      machineIdSharedWith: z.object({ host: z.string(), address: z.string() }).nullable().default(null),
    })
    .nullable(),
  /** Holes in the logs of this host. Null: the agent works alone, or is older than this field. */
  gaps: gapStatusSchema.nullable().default(null),
  /** Null until the first sample. */
  metrics: hostMetricsSchema.nullable(),
  /** What the agent last measured of itself. Null: nothing yet, or it is older than this field. */
  agent: agentMetricsSchema.nullable().default(null),
  /** How what has waited is worked off. Null: nothing old waits, it becomes no less, nobody takes it, or the agent is older than this field. */
  catchingUp: z.object({ bytesPerSecond: z.number().nullable(), leftMs: z.number().nullable() }).nullable().default(null),
  /** What is wrong with the host, the worst first. */
  conditions: z.array(hostConditionSchema).default([]),
  /** GPUs and TPUs. */
  accelerators: z.array(acceleratorSchema).default([]),
  /** Whether anything may be recovered on this host now. */
  gate: hostGateSchema.nullable().default(null),
  workloads: z.array(workloadStatusSchema),
});
export type AgentStatus = z.infer<typeof agentStatusSchema>;

const gapsDocument = ({ last, ...gaps }: GapStatus): Record<string, unknown> => ({
  ...gaps,
  since: isoTime(gaps.since),
  last: last === null ? null : { ...last.segment, reason: last.reason, at: isoTime(last.at) },
});

const configDocument = (status: ConfigStatus): Record<string, unknown> => ({
  ...status,
  loadedAt: isoTime(status.loadedAt),
  refused: status.refused === null ? null : { ...status.refused, at: isoTime(status.refused.at) },
});

/** For `status --json`: workloads exactly as the collector's API has them, times in ISO-8601. */
export function statusDocument(status: AgentStatus): Record<string, unknown> {
  const { collector, metrics, gate, gaps, configuration, agent } = status;
  return {
    ...status,
    startedAt: isoTime(status.startedAt),
    configuration: configuration === null ? null : configDocument(configuration),
    collector: collector === null ? null : { ...collector, since: isoTime(collector.since) },
    gaps: gaps === null ? null : gapsDocument(gaps),
    metrics: metrics === null ? null : { ...metrics, at: isoTime(metrics.at) },
    agent: agent === null ? null : { ...agent, at: isoTime(agent.at) },
    gate: gate === null ? null : { ...gate, since: isoTime(gate.since), deadlineAt: isoTimeOrNull(gate.deadlineAt) },
    conditions: status.conditions.map((condition) => ({ ...condition, since: isoTime(condition.since) })),
    workloads: status.workloads.map((workload): ApiWorkload => ({
      host: status.host,
      ...workload,
      phaseSince: isoTime(workload.phaseSince),
      stageSince: isoTimeOrNull(workload.stageSince),
      nextAttemptAt: isoTimeOrNull(workload.nextAttemptAt),
      readyAt: isoTimeOrNull(workload.readyAt),
      spare: workload.spare === undefined || workload.spare === null ? null : { ...workload.spare, since: isoTime(workload.spare.since) },
      waitingConfiguration: apiWaitingConfiguration(workload.waitingConfiguration),
    })),
  };
}
