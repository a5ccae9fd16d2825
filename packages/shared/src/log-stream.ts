import * as z from 'zod';
import { workloadLengthMax } from './event.ts';

/** In the place of the workload: what belongs to the host itself. No workload can be called so. */
export const hostLogs = '@host';

/** JSON can carry half of a character; `segmentId` cannot. */
const wellFormed = (lengthMax: number) =>
  z
    .string()
    .max(lengthMax)
    .refine((text) => text.isWellFormed(), 'must be well-formed Unicode');

/** Where a line comes from, as this version knows it. `file:<name>` is a file inside the container. */
export const logSourceSchema = z
  .string()
  .max(1024)
  .regex(/^(?:container|process|setup|mount|agent|file:.+)$/);

/**
 * One append-only sequence of bytes on the agent's side: one file, written by one run. Its byte offsets are the
 * exactly-once key all the way to the store. All segments of (host, workload, source) together are the *stream* that a
 * reader sees.
 */
export const segmentKeySchema = z.object({
  workload: wellFormed(workloadLengthMax),
  generation: z.number().int().nonnegative(),
  /** Also one of a later version, which is stored and shown under its own name. */
  source: z
    .string()
    .max(1024)
    .regex(/^(?:[a-z][a-z-]{0,31}|[a-z]{1,31}:.+)$/)
    .refine((text) => text.isWellFormed(), 'must be well-formed Unicode'),
  /** Which start of the process or step, or which incarnation of the container's log file. Unique within the three above. */
  run: wellFormed(256),
});
export type SegmentKey = z.infer<typeof segmentKeySchema>;

/** A stable text form, for maps and for the wire: `WORKLOAD/GENERATION/SOURCE/RUN`, each part percent-encoded. */
export function segmentId(key: SegmentKey): string {
  return [key.workload, String(key.generation), key.source, key.run].map(encodeURIComponent).join('/');
}

export function parseSegmentId(id: string): SegmentKey {
  const [workload = '', generation = '', source = '', run = ''] = id.split('/').map(decodeURIComponent);
  return segmentKeySchema.parse({ workload, generation: Number(generation), source, run });
}

export const outputStreams = ['stdout', 'stderr', 'both'] as const;
export type OutputStream = (typeof outputStreams)[number];

/** One line as a reader gets it from a block. Times are epoch milliseconds. */
export interface LogLine {
  /** Offset of the line's first byte in its segment. */
  readonly offset: number;
  readonly at: number;
  /** True when `at` is the time the agent caught up, not the time the line was written. */
  readonly atApprox?: true;
  readonly stream: OutputStream;
  /** Without the newline. Bytes that are not UTF-8 arrive as U+FFFD. */
  readonly line: string;
  readonly truncated?: true;
  /** The last state of a progress bar (`a\rb\rc` is told as `c`), and how many states came before. */
  readonly collapsed?: number;
}
