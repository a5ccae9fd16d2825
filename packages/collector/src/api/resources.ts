/** The resources of shared/api.ts as schemas, for openapi.json. The compiler holds both to each other. */
import type { ApiAlert, ApiEvent, ApiHost, ApiIncident, ApiLogEntry, ApiLogGap, ApiLogLine, ApiWorkload } from '@relight/shared/api';
import { agentMetricsSchema } from '@relight/shared/agent-metrics';
import { eventKinds, severities } from '@relight/shared/event';
import { outputStreams } from '@relight/shared/log-stream';
import { hostStates, levels, phases } from '@relight/shared/phase';
import {
  acceleratorSchema,
  hostConditionSchema,
  hostFactsSchema,
  hostGateSchema,
  hostMetricsSchema,
  restartCountsSchema,
  spareStatusSchema,
  waitingConfigurationSchema,
  workloadMetricsSchema,
} from '@relight/shared/status';
import * as z from 'zod';
import { logLevels } from '../logs/level.ts';

const time = z.string().meta({ format: 'date-time' });
const labels = z.record(z.string(), z.string());

export const workloadSchema = z
  .object({
    host: z.string(),
    name: z.string(),
    phase: z.enum(phases),
    phaseSince: time,
    reason: z.string(),
    stage: z.string().nullable(),
    stageSince: time.nullable(),
    attempt: z.number(),
    nextAttemptAt: time.nullable(),
    generation: z.number(),
    containerId: z.string().nullable(),
    image: z.string(),
    readyAt: time.nullable(),
    metrics: workloadMetricsSchema.nullable(),
    restarts: restartCountsSchema,
    lastIncidentId: z.string().nullable(),
    waitingFor: z.string().nullable().optional(),
    foreignRestarts: z.number().int().optional(),
    watched: z.boolean().optional(),
    recoveries: z.object({ attempted: z.number().int(), succeeded: z.number().int() }).optional(),
    spare: spareStatusSchema.extend({ since: time }).nullable().optional(),
    waitingConfiguration: waitingConfigurationSchema.extend({ since: time, nextAttemptAt: time.nullable() }).nullable().optional(),
  })
  .meta({ id: 'Workload' }) satisfies z.ZodType<ApiWorkload>;

export const hostSchema = z
  .object({
    name: z.string(),
    id: z.string().nullable(),
    state: z.enum(hostStates),
    stateSince: time,
    reason: z.string(),
    labels,
    bootId: z.string().nullable(),
    agentVersion: z.string().nullable(),
    lastSeenAt: time.nullable(),
    clockSkewMs: z.number().nullable(),
    metrics: hostMetricsSchema.extend({ at: time }).nullable(),
    facts: hostFactsSchema,
    engine: z
      .object({ state: z.enum(['up', 'down']), since: time })
      .nullable()
      .optional(),
    conditions: z.array(hostConditionSchema.extend({ since: time })).optional(),
    accelerators: z.array(acceleratorSchema).optional(),
    gate: hostGateSchema.extend({ since: time, deadlineAt: time.nullable() }).nullable().optional(),
    agent: agentMetricsSchema.extend({ at: time }).nullable().optional(),
    delivery: z
      .object({
        lagMs: z.number().nullable(),
        catchingUp: z.object({ bytesPerSecond: z.number().nullable(), leftMs: z.number().nullable() }).optional(),
        outbox: z.object({ bytes: z.number(), bytesMax: z.number(), share: z.number() }).nullable(),
        gaps: z.object({
          count: z.number(),
          lines: z.number(),
          bytes: z.number(),
          lastAt: time.nullable(),
          lastReason: z.string().nullable(),
        }),
      })
      .optional(),
    workloads: z.array(workloadSchema),
  })
  .meta({ id: 'Host' }) satisfies z.ZodType<ApiHost>;

export const eventSchema = z
  .object({
    id: z.string(),
    at: time,
    receivedAt: time,
    host: z.string(),
    workload: z.string().nullable(),
    generation: z.number().nullable(),
    kind: z.enum(eventKinds),
    severity: z.enum(severities),
    message: z.string(),
    data: z.record(z.string(), z.unknown()),
  })
  .meta({ id: 'Event' }) satisfies z.ZodType<ApiEvent>;

export const alertSchema = z
  .object({
    id: z.string(),
    rule: z.string(),
    severity: z.enum(severities),
    host: z.string().meta({ description: "'' for an alert about the whole fleet" }),
    workload: z.string().nullable(),
    state: z.enum(['firing', 'resolved']),
    startsAt: time,
    endsAt: time.nullable(),
    summary: z.string(),
    labels,
  })
  .meta({ id: 'Alert' }) satisfies z.ZodType<ApiAlert>;

export const incidentResourceSchema = z
  .object({
    id: z.string(),
    host: z.string(),
    workload: z.string().nullable().meta({ description: 'null: the host itself' }),
    generation: z.number().nullable(),
    openedAt: time,
    closedAt: time.nullable(),
    cause: z.string().meta({ description: 'the root cause, one sentence' }),
    code: z.string(),
    level: z.enum(levels),
    advice: z.string(),
    exitCode: z.number().nullable(),
    signal: z.string().nullable(),
    oomKilled: z.boolean(),
    failedAt: time,
    timeToDetectMs: z.number(),
    timeToRecoverMs: z.number().nullable(),
    attempts: restartCountsSchema,
    escalations: z.number(),
    byHand: z.boolean(),
    stages: z.array(z.object({ stage: z.string(), ms: z.number() })),
    revision: z.number(),
    timeline: z.array(
      z.object({
        at: time,
        kind: z.string(),
        severity: z.enum(severities),
        message: z.string(),
        generation: z.number().nullable(),
        data: z.record(z.string(), z.unknown()),
      }),
    ),
    omitted: z.number(),
    evidence: z.array(
      z.object({
        name: z.string(),
        title: z.string(),
        at: time,
        bytes: z.number(),
        truncatedBytes: z.number().nullable(),
        error: z.string().nullable(),
        text: z.string().nullable().exactOptional(),
      }),
    ),
  })
  .meta({ id: 'Incident' }) satisfies z.ZodType<ApiIncident>;

const segment = { host: z.string(), workload: z.string(), generation: z.number(), source: z.string(), run: z.string(), receivedAt: time };
const line = z.object({
  ...segment,
  at: time,
  atApprox: z.literal(true).exactOptional(),
  stream: z.enum(outputStreams),
  offset: z.number(),
  level: z.enum(logLevels).exactOptional().meta({ description: 'What the line says of itself, as far as that is certain.' }),
  line: z.string(),
  truncated: z.literal(true).exactOptional(),
  collapsed: z.number().exactOptional().meta({ description: 'The last state of a progress bar: how many came before it.' }),
  context: z.literal(true).exactOptional().meta({ description: 'Only shown because of a line near it.' }),
  apart: z.literal(true).exactOptional().meta({ description: 'The line before it in its stream was not shown.' }),
  lines: z.number().exactOptional().meta({ description: 'Several lines that belong together, with newlines between.' }),
  part: z.enum(['first', 'middle', 'last']).exactOptional().meta({
    description:
      'One of several entries: what belongs together is longer than 512 lines or 256 KiB, or was written in more than 32 pieces. Stored lines only: of live ones the end is not known.',
  }),
  next: z.string().exactOptional(),
}) satisfies z.ZodType<ApiLogLine>;
const gap = z.object({
  ...segment,
  gap: z.object({
    from: z.number(),
    to: z.number(),
    lines: z.number().exactOptional(),
    bytes: z.number().exactOptional(),
    reason: z.string(),
  }),
  next: z.string().exactOptional(),
}) satisfies z.ZodType<ApiLogGap>;
export const logEntrySchema = z.union([line, gap]).meta({ id: 'LogEntry' }) satisfies z.ZodType<ApiLogEntry>;

export const problemSchema = z
  .object({ type: z.string(), title: z.string(), status: z.number(), detail: z.string(), code: z.string(), advice: z.string() })
  .meta({ id: 'Problem' });

export const listOf = (item: z.ZodType): z.ZodType => z.object({ items: z.array(item), next: z.string().nullable() });
