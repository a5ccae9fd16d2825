/**
 * Agent ↔ collector, WebSocket `/agent/v1`, subprotocol `relight.v1`. The agent dials out.
 *
 *   agent  ── hello ──────────────▶ collector        text frames are JSON, one message each
 *          ◀───────────── welcome ──                 binary frames are log blocks (log-block.ts)
 *          ── heartbeat, events, log blocks, gap ──▶
 *          ◀── ack, action, watch, clock, machine-id-shared, drain ──
 *          ── goodbye, close(1000) ──▶
 *
 * - Messages are validated on receipt; unknown fields and unknown types of message are ignored, unknown words of most lists are taken for
 *   known ones (open-enum.ts). test/releases holds every change to what older versions understand.
 * - Events are numbered 1, 2, 3 … within an epoch. An `events` message holds consecutive ones of one epoch, which may be another one than
 *   that of hello: what an earlier life has left. The collector commits, then acknowledges the highest committed sequence of that
 *   epoch; what it has already is acknowledged and dropped.
 * - Goodbye is the last: what comes after it is not taken.
 * - A log block or gap must begin exactly at the committed offset of its segment. If it begins below and ends at or below:
 *   it is a duplicate, acknowledged and dropped. In every other case the collector answers `ack` with the committed offset
 *   and `rewind: true`, and the agent goes on from there.
 * - An `incident` (the latest revision of one) or `incident-evidence` (one piece) is sent only when welcome said that they are
 *   taken, one at a time, and acknowledged after the commit; what is known already is acknowledged and dropped.
 * - At most `inFlightMax` unacknowledged messages per lane (events; log blocks and gaps). Events never wait behind logs.
 */
import * as z from 'zod';
import { agentMetricsSchema } from './agent-metrics.ts';
import { agentEventSchema, wordsSchema } from './event.ts';
import { evidenceItemSchema, incidentSchema } from './incident.ts';
import { hostNameSchema, idSchema } from './join.ts';
import { segmentKeySchema } from './log-stream.ts';
import { openEnum } from './open-enum.ts';
import {
  acceleratorSchema,
  acceleratorsMax,
  hostConditionSchema,
  hostConditionsMax,
  hostFactsSchema,
  hostGateSchema,
  hostMetricsSchema,
  workloadStatusSchema,
} from './status.ts';

export const agentPath = '/agent/v1';
export const subprotocol = 'relight.v1';
/** `maxPayload` on both sides. */
export const frameBytesMax = 1024 * 1024;
export const inFlightMax = 4;
export const eventsPerMessageMax = 200;

/** Of a host; each key and each value at most so long, in UTF-16 units. */
export const labelsMax = 64;
export const labelLengthMax = 256;
const labelSchema = z.string().max(labelLengthMax, `must be at most ${labelLengthMax} characters`);
/** Whoever says them: a host of itself, or an operator of one that is expected. `hint`: where they are to be changed. */
export const hostLabelsSchema = (hint = '') =>
  z
    .record(labelSchema, labelSchema, {
      error: ({ code }) => (code === 'invalid_key' ? `the name of a label must be at most ${labelLengthMax} characters` : undefined),
    })
    .refine((labels) => Object.keys(labels).length <= labelsMax, `must be at most ${labelsMax} labels${hint}`);
/** As JSON. A collector keeps them of every host, on disk and in memory. */
const factsLengthMax = 16 * 1024;

/** WebSocket close codes of our own. */
export const closeCodes = {
  goodbye: 1000,
  protocolError: 4400,
  unauthorized: 4401,
  /** A newer connection of the same agent id has taken over. */
  superseded: 4409,
  /** Another machine uses the same agent id. */
  cloned: 4410,
  silent: 4408,
  draining: 4503,
  /** There is no version of the protocol that both sides speak (protocol-version.ts). */
  versionsApart: 4426,
} as const;

const epochSchema = z.string().min(1).max(128);

export const helloSchema = z.object({
  type: z.literal('hello'),
  /** The newest version that the agent speaks, and the oldest; see protocol-version.ts. */
  protocol: z.number().int().positive(),
  protocolOldest: z.number().int().positive().optional(),
  agentId: idSchema.min(8),
  /** Hash of the machine id: tells clones apart. */
  machineId: idSchema,
  /** Of this life of the agent: another one has another epoch, or its events would be taken for duplicates. */
  epoch: epochSchema,
  bootId: z.string().max(128),
  host: hostNameSchema,
  labels: hostLabelsSchema(' (host.labels of the agent)'),
  version: z.string().max(128),
  facts: hostFactsSchema.refine((facts) => JSON.stringify(facts).length <= factsLengthMax, `must be at most ${factsLengthMax} characters`),
  remoteActions: z.boolean(),
  /** The agent's wall clock, for skew. */
  at: z.number(),
  /** Highest sequence that exists in this epoch. */
  lastEventSeq: z.number().int().nonnegative(),
  /**
   * Segments with unacknowledged data; more may follow later without announcement. Null where one of them is none that this side
   * knows: it costs only itself an answer, and never the whole agent its connection.
   */
  segments: z.array(segmentKeySchema.nullable().catch(null)).max(10_000),
});
export type Hello = z.infer<typeof helloSchema>;

export const heartbeatSchema = z.object({
  type: z.literal('heartbeat'),
  at: z.number(),
  workloads: z.array(workloadStatusSchema).max(1000),
  /** The newest sample; absent when there is none since the last heartbeat. */
  metrics: hostMetricsSchema.optional(),
  engine: z.enum(['up', 'down']),
  /** What is wrong with the host now; agents older than this field say nothing. */
  conditions: z.array(hostConditionSchema).max(hostConditionsMax).default([]),
  /** GPUs and TPUs. */
  accelerators: z.array(acceleratorSchema).max(acceleratorsMax).default([]),
  /** Absent from agents older than this field. */
  gate: hostGateSchema.optional(),
  /** The agent itself; absent from agents older than this field. One that cannot be read costs nothing but itself. */
  agent: agentMetricsSchema.optional().catch(undefined),
});
export type Heartbeat = z.infer<typeof heartbeatSchema>;
/** As an agent may say it: what has a default may be left out. */
export type SentHeartbeat = z.input<typeof heartbeatSchema>;

export const eventsSchema = z.object({
  type: z.literal('events'),
  epoch: epochSchema,
  events: z.array(agentEventSchema).min(1).max(eventsPerMessageMax),
});

/** A counted hole [from, to) in a segment: these bytes will never come. */
export const gapSchema = z.object({
  type: z.literal('gap'),
  segment: segmentKeySchema,
  from: z.number().int().nonnegative(),
  to: z.number().int().positive(),
  lines: z.number().int().optional(),
  bytes: z.number().int().optional(),
  reason: wordsSchema(1000),
  at: z.number(),
});
export type Gap = z.infer<typeof gapSchema>;

/** The document without what its evidence says; the highest revision wins. */
export const incidentMessageSchema = z.object({ type: z.literal('incident'), incident: incidentSchema });

/** One piece of evidence of an incident. Never changes; `body` is its text: zstd, then base64; '' when there is none. */
export const incidentEvidenceSchema = z.object({
  type: z.literal('incident-evidence'),
  incident: incidentSchema.shape.id,
  item: evidenceItemSchema,
  body: z.base64(),
});
export type IncidentEvidence = z.infer<typeof incidentEvidenceSchema>;

export const actionResultSchema = z.object({
  type: z.literal('action-result'),
  id: z.string(),
  ok: z.boolean(),
  code: wordsSchema(64).optional(),
  message: wordsSchema(),
});

export const goodbyeSchema = z.object({ type: z.literal('goodbye'), reason: openEnum(['stopped', 'rebooting'], 'stopped') });

export const agentMessageSchema = z.discriminatedUnion('type', [
  helloSchema,
  heartbeatSchema,
  eventsSchema,
  gapSchema,
  incidentMessageSchema,
  incidentEvidenceSchema,
  actionResultSchema,
  goodbyeSchema,
]);
export type AgentMessage = z.infer<typeof agentMessageSchema>;
export type SentAgentMessage = z.input<typeof agentMessageSchema>;

export const committedSchema = z.object({ segment: segmentKeySchema, offset: z.number().int().nonnegative() });

export const welcomeSchema = z.object({
  type: z.literal('welcome'),
  /** The version that is spoken from here on. */
  protocol: z.number().int(),
  sessionId: z.string(),
  /** Agents keep to it, ± 10 %, down to 200 ms. */
  heartbeatMs: z.number().int().positive(),
  /** How many hosts this collector knows: agents ask what they share the more slowly, the more they are. */
  fleetSize: z.number().int().positive().optional(),
  /** Highest committed sequence of the epoch of hello; 0 when none. */
  lastEventSeq: z.number().int().nonnegative(),
  /** One per segment named in hello, those apart that the collector does not know how to name. */
  segments: z.array(committedSchema),
  /** Selectors of what is being tailed now; see `watch`. */
  watch: z.array(z.object({ workload: z.string().optional(), source: z.string().optional() })).default([]),
  /** Incidents are taken. Collectors older than this field never acknowledge one. */
  incidents: z.boolean().optional(),
});
export type Welcome = z.infer<typeof welcomeSchema>;

/** Either a revision of the document or a piece of its evidence. */
export const incidentAckSchema = z.object({
  id: z.string(),
  revision: z.number().int().positive().optional(),
  evidence: z.string().optional(),
});
export type IncidentAck = z.infer<typeof incidentAckSchema>;

export const ackSchema = z.object({
  type: z.literal('ack'),
  events: z.object({ epoch: z.string(), seq: z.number().int().nonnegative() }).optional(),
  /** As in `welcome`, along with events: a fleet that has grown since is known when something happens. */
  fleetSize: z.number().int().positive().optional(),
  segments: z.array(committedSchema.extend({ rewind: z.boolean().default(false) })).default([]),
  incident: incidentAckSchema.optional(),
});

export const actionSchema = z.object({
  type: z.literal('action'),
  id: z.string(),
  action: z.enum(['restart', 'pause', 'resume']),
  /** Absent: all workloads of the host. */
  workload: z.string().optional(),
  level: z.enum(['process', 'container']).optional(),
  reason: z.string().max(1000).optional(),
  /** For pause: ends by itself after this time. */
  forMs: z.number().int().positive().optional(),
});
export type Action = z.infer<typeof actionSchema>;

export const watchSchema = z.object({
  type: z.literal('watch'),
  /** Who matches is flushed at once; empty means nobody is tailing. Replaces what was watched before. */
  watch: z.array(z.object({ workload: z.string().optional(), source: z.string().optional() })).max(1000),
});

/** 200 years: a clock without a battery begins in 1970. */
export const clockSkewMsMax = 200 * 365 * 86_400_000;

/**
 * What the collector has measured of the agent's clock, now and then behind a heartbeat: how far it is ahead of its own, the way of the
 * message included. Only for people on the host; a number that cannot be is null, and costs nothing but itself.
 */
export const clockSchema = z.object({
  type: z.literal('clock'),
  skewMs: z.number().int().min(-clockSkewMsMax).max(clockSkewMsMax).nullable().catch(null),
});

/** Another host says that it is this agent, with the same machine id, and was refused. For people on the host. */
export const machineIdSharedSchema = z.object({
  type: z.literal('machine-id-shared'),
  /** How it calls itself. */
  host: hostNameSchema,
  address: z.string().max(128),
});

export const drainSchema = z.object({ type: z.literal('drain'), reconnectAfterMs: z.number().int().nonnegative() });

export const collectorMessageSchema = z.discriminatedUnion('type', [
  welcomeSchema,
  ackSchema,
  actionSchema,
  watchSchema,
  clockSchema,
  machineIdSharedSchema,
  drainSchema,
]);
export type CollectorMessage = z.infer<typeof collectorMessageSchema>;

/** Parses one text frame. `null`: well-formed but of a type this version does not know, to be ignored. Throws on anything else. */
export function parseMessage<T>(schema: z.ZodType<T>, text: string): T | null {
  const json: unknown = JSON.parse(text);
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const unknownType = parsed.error.issues.every((issue) => issue.code === 'invalid_union' && issue.path.join('.') === 'type');
  if (unknownType && typeof (json as { type?: unknown }).type === 'string') return null;
  throw new Error(z.prettifyError(parsed.error));
}
