/**
 * One failure and its recovery, as the agent writes it down, sends it and shows it. Times are epoch milliseconds; the API
 * turns them into ISO-8601. The document is small and sent anew with every revision, the latest wins; what was found on the
 * host when it happened (the evidence) is large, never changes, and travels piece by piece.
 */
import * as z from 'zod';
import { factsSchema, severitySchema, wordsSchema, workloadLengthMax } from './event.ts';
import { openEnum } from './open-enum.ts';
import { levels } from './phase.ts';

/** Raw bytes of one piece of evidence. Compressed and in base64 it stays below 256 KiB even where nothing compresses. */
export const evidenceBytesMax = 128 * 1024;
export const evidencePiecesMax = 32;
/** A decoder refuses what unpacks to more: JSON escapes can make text up to six times longer. */
export const evidenceUnpackedBytesMax = 8 * evidenceBytesMax;
export const timelineMax = 120;

export const timelineEntrySchema = z.object({
  at: z.number(),
  /** Of the event; `observed`: what a person or another program did, as the engine tells, which is no event of its own. */
  kind: z.string().max(64),
  severity: severitySchema,
  message: z.string().max(4096),
  generation: z.number().int().nonnegative().optional(),
  /** The event's facts, as far as they are small. */
  data: factsSchema,
});
export type TimelineEntry = z.infer<typeof timelineEntrySchema>;

export const evidenceItemSchema = z.object({
  /** `inspect`, `log:process`, `kernel`, `disks`: unique within the incident. */
  name: z.string().min(1).max(128),
  /** For a person. */
  title: z.string().max(256),
  at: z.number(),
  /** Bytes of its text; 0 when there is none. */
  bytes: z.number().int().nonnegative(),
  /** What was cut off, at the beginning where it is a log. */
  truncatedBytes: z.number().int().positive().optional(),
  /** Why it is not there. */
  error: z.string().max(4096).optional(),
});
export type EvidenceItem = z.infer<typeof evidenceItemSchema>;

export const incidentSchema = z.object({
  /** `20260131-120000-x7k2m9`: sorts by time; unique on its host, and all but unique in the fleet. */
  id: z.string().regex(/^[\w-]{8,64}$/),
  /** 1, 2, 3 …: the highest is the truth. */
  revision: z.number().int().positive(),
  /** Null: the host itself (a reboot, a dead engine). */
  workload: z.string().max(workloadLengthMax).nullable(),
  generation: z.number().int().nonnegative().nullable(),
  /** When it was noticed. */
  openedAt: z.number(),
  /** When the workload was ready again. */
  closedAt: z.number().nullable(),
  /** The root cause as one sentence that needs no context. */
  cause: z.string().max(4096),
  /** Of the catalogue in errors.ts. */
  code: z.string().max(64),
  level: openEnum(levels, 'host'),
  /** What a person should do. */
  advice: z.string().max(4096),
  exitCode: z.number().int().nullable(),
  signal: wordsSchema(64).nullable(),
  oomKilled: z.boolean(),
  /** When the failure happened, as well as it is known. */
  failedAt: z.number(),
  timeToDetectMs: z.number().nonnegative(),
  /** From the failure to ready; null while open. */
  timeToRecoverMs: z.number().nonnegative().nullable(),
  /** Restarts that it took, or has taken so far, by level. */
  attempts: z.object({ process: z.number().int(), container: z.number().int(), host: z.number().int() }),
  escalations: z.number().int(),
  /** A person acted while it was open (restart, resume). */
  byHand: z.boolean(),
  /** Of the attempt that succeeded. */
  stages: z.array(z.object({ stage: wordsSchema(1024), ms: z.number() })).max(60),
  timeline: z.array(timelineEntrySchema).max(timelineMax + 10),
  /** Entries left out of the middle of the timeline. */
  omitted: z.number().int().nonnegative(),
  evidence: z.array(evidenceItemSchema).max(evidencePiecesMax),
});
export type Incident = z.infer<typeof incidentSchema>;
