/**
 * What was found on the host when something failed. Gathered beside the recovery, never in its way: every source has a
 * deadline, what fails says why, and what is found is redacted and cut before it is kept.
 */
import { setImmediate as yieldToLoop } from 'node:timers/promises';
import { delay, type Clock } from '@relight/shared/clock';
import { errorMessage } from '@relight/shared/errors';
import { evidenceBytesMax, type EvidenceItem } from '@relight/shared/incident';

/** Whose evidence it is. */
export interface Subject {
  /** Null: the host itself. */
  readonly workload: string | null;
  readonly generation: number | null;
  readonly container: { readonly id: string; /** Of its first process; 0 when it is dead. */ readonly pid: number } | null;
  /** Lines of logs that are wanted. */
  readonly lines: number;
}

export interface Finding {
  /** Default: those of the source. */
  readonly name?: string;
  readonly title?: string;
  readonly text: string;
  /** What is kept when it is too long: a log's end, a listing's beginning. */
  readonly keep: 'start' | 'end';
}

export interface EvidenceSource {
  readonly name: string;
  readonly title: string;
  /** Small enough to be looked at for every single failure. */
  readonly light: boolean;
  /** How long it waits: what is gone in a moment is looked at at once, the rest leaves the recovery its processor time. */
  readonly afterMs: number;
  /** Only where a container is concerned. */
  readonly needsContainer: boolean;
  /** Throws, or rejects, with the reason why there is nothing. */
  read(subject: Subject, signal: AbortSignal): Promise<readonly Finding[]>;
}

export interface GatherOptions {
  readonly clock: Clock;
  readonly sources: readonly EvidenceSource[];
  /** Takes out whatever must not leave this host. */
  readonly redact: (text: string) => string;
  /** One piece, as soon as it is there. `text` null: `item.error` says why. */
  readonly found: (item: Omit<EvidenceItem, 'bytes'>, text: string | null) => void;
  /** Of all pieces together, in bytes. */
  readonly bytesMax: number;
}

const sourceTimeoutMs = 8_000;
/** The first recovery is over by then, or waits for something else than the processor. */
export const notUrgentMs = 300;

/** Resolves, never rejects, when every source has answered or its time is over. */
export async function gatherEvidence(subject: Subject, options: GatherOptions): Promise<void> {
  // What the failure sets in motion goes first.
  await yieldToLoop();
  const { clock, redact, sources } = options;
  let room = options.bytesMax;
  const take = (source: EvidenceSource, { name = source.name, title = source.title, text, keep }: Finding): void => {
    const item = { name: redact(name), title: redact(title), at: clock.now() };
    const { text: kept, truncatedBytes } = fit(redact(text), Math.min(evidenceBytesMax, room), keep);
    room -= Buffer.byteLength(kept);
    options.found({ ...item, ...(truncatedBytes === 0 ? {} : { truncatedBytes }) }, kept);
  };
  await Promise.all(
    sources
      .filter(({ needsContainer }) => !needsContainer || subject.workload !== null)
      .map(async (source) => {
        try {
          for (const finding of await withDeadline(clock, (signal) => readLater(source, subject, clock, signal))) take(source, finding);
        } catch (thrown) {
          const { name, title } = source;
          options.found(
            { name: redact(name), title: redact(title), at: clock.now(), error: redact(errorMessage(thrown)).slice(0, 500) },
            null,
          );
        }
      }),
  );
}

async function readLater(source: EvidenceSource, subject: Subject, clock: Clock, signal: AbortSignal): Promise<readonly Finding[]> {
  if (source.afterMs > 0) await delay(clock, source.afterMs, signal);
  return source.read(subject, signal);
}

async function withDeadline<T>(clock: Clock, read: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const abort = new AbortController();
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = clock.after(sourceTimeoutMs, () => {
    const error = new Error(`no answer within ${sourceTimeoutMs / 1_000} s`);
    abort.abort(error);
    reject(error);
  });
  try {
    return await Promise.race([read(abort.signal), late]);
  } finally {
    timer.cancel();
  }
}

/** At most `bytesMax` bytes of UTF-8, whole lines where there are several. */
export function fit(text: string, bytesMax: number, keep: Finding['keep']): { readonly text: string; readonly truncatedBytes: number } {
  const bytes = Buffer.from(text);
  if (bytes.length <= bytesMax) return { text, truncatedBytes: 0 };
  const room = Math.max(0, bytesMax);
  const part = keep === 'end' ? bytes.subarray(bytes.length - room) : bytes.subarray(0, room);
  const edge = keep === 'end' ? part.indexOf(10) + 1 : part.lastIndexOf(10) + 1;
  const lines = edge === 0 ? part : keep === 'end' ? part.subarray(edge) : part.subarray(0, edge);
  // A character that was cut in two would become longer than it was.
  const kept = lines.toString('utf8').replaceAll(/^\uFFFD+|\uFFFD+$/g, '');
  return { text: kept, truncatedBytes: bytes.length - Buffer.byteLength(kept) };
}
