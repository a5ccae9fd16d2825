/** Has a part gathered by a child, and waits no longer for it than that part may take. */
import { runChild, type ChildResult } from '@relight/shared/child';
import type { Clock } from '@relight/shared/clock';
import type { BundlePiece } from '@relight/shared/support-bundle';
import { parts, type PartRecord, type PartRequest } from './part.ts';

export interface Missing {
  readonly name: string;
  readonly reason: string;
}

export interface Gathered {
  readonly pieces: readonly BundlePiece[];
  readonly missing: readonly Missing[];
}

export type RunChild = typeof runChild;

const outputBytesMax = 32 << 20;

/** Never rejects. `program`: how this program is started. */
export async function askPart(request: PartRequest, program: readonly string[], clock: Clock, run: RunChild = runChild): Promise<Gathered> {
  const { names, deadlineMs } = parts[request.part];
  const [file = '', ...args] = program;
  const argv = [file, ...args, 'support-bundle', '--part', JSON.stringify(request)] as const;
  const result = await run({ argv, clock, timeoutMs: deadlineMs, outputBytesMax });
  return gathered(names, result, deadlineMs);
}

function gathered(names: readonly string[], result: ChildResult, deadlineMs: number): Gathered {
  const lines = result.stdout.split('\n').slice(0, -1).map(recordOf);
  const records = lines.filter((record) => record !== null);
  const texts = new Map<string, string>();
  const reasons = new Map<string, string>();
  for (const record of records) {
    if ('reason' in record) reasons.set(record.name, record.reason);
    else texts.set(record.name, (texts.get(record.name) ?? '') + record.text);
  }
  const ended = failureOf(result, deadlineMs);
  const failure = ended ?? (records.length < lines.length ? 'a line of what was told cannot be read' : null);
  const last = records.at(-1)?.name;
  for (const name of names) {
    if (reasons.has(name)) continue;
    if (!texts.has(name)) reasons.set(name, failure ?? 'nothing came of it');
    // The others are whole: each came in one record.
    else if (failure !== null && name === last && name === names.at(-1)) {
      reasons.set(name, `${ended === null ? 'perhaps not all' : 'only the beginning'} of it: ${failure}`);
    }
  }
  return {
    pieces: [...texts].map(([name, text]) => ({ name, text })),
    missing: [...reasons].map(([name, reason]) => ({ name, reason })),
  };
}

/** Null: none, as of a line that was written in part, or by somebody else. */
function recordOf(line: string): PartRecord | null {
  try {
    const record = JSON.parse(line) as Partial<Record<string, unknown>> | null;
    const isRecord = typeof record?.['name'] === 'string' && typeof (record['text'] ?? record['reason']) === 'string';
    return isRecord ? (record as PartRecord) : null;
  } catch {
    return null;
  }
}

/** Null: it has ended well. */
export function failureOf({ spawnError, timedOut, exitCode, signal, stderr }: ChildResult, deadlineMs: number): string | null {
  if (spawnError !== null) return spawnError === 'ENOENT' ? 'there is no such program here' : `it cannot be started: ${spawnError}`;
  if (timedOut) return `it did not end within ${deadlineMs / 1_000} s`;
  if (exitCode === 0) return null;
  const said = stderr.trim().split('\n')[0] ?? '';
  return `it ended with ${exitCode === null ? `signal ${signal}` : `code ${exitCode}`}${said === '' ? '' : `: ${said}`}`;
}
