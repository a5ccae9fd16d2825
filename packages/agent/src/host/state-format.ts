/**
 * `<state dir>/format.json`: which format the files of the state directory have, and which version of the agent wrote them last. An older
 * agent does not know what a newer format means: read as its own, or set aside file by file, it would forget pauses, budgets and
 * what adopted containers were made of. So it touches nothing and says which version to install.
 */
import { join } from 'node:path';
import { RelightError } from '@relight/shared/errors';
import * as z from 'zod';
import { readIfThere, replaceFileDurably } from './atomic-file.ts';

/** Raised when an older agent could not go on from what this one writes. */
export const stateFormat = 1;

const schema = z.object({ format: z.number().int().positive(), version: z.string() });
type StateFormat = z.infer<typeof schema>;

/** Call with the lock of the directory. Fails with config-invalid, nothing changed, when the directory has a newer format than `format`. */
export function claimStateDir(stateDir: string, version: string, format: number = stateFormat): void {
  const path = join(stateDir, 'format.json');
  const found = read(path);
  if (found !== null && found.format > format) {
    const whose = `relight-agent ${found.version} wrote the state directory ${stateDir} in format ${found.format}`;
    throw new RelightError('config-invalid', `${whose}; this is relight-agent ${version}, which knows only up to ${format}`, {
      advice:
        `Install relight-agent ${found.version} or newer again; the workloads go on meanwhile. Or move ${stateDir} away: containers are found again ` +
        'by their labels, but pauses, restart budgets, events and logs that were not delivered, and what adopted containers were made of are lost.',
    });
  }
  if (found?.format === format && found.version === version) return;
  try {
    replaceFileDurably(path, `${JSON.stringify({ format, version } satisfies StateFormat)}\n`);
  } catch {
    // A disk that takes nothing is told by the host's watch, and is no reason to leave workloads unwatched.
  }
}

/** Null: an agent older than this file, or no file of ours. */
function read(path: string): StateFormat | null {
  try {
    const text = readIfThere(path);
    return text === null ? null : schema.parse(JSON.parse(text.toString('utf8')));
  } catch {
    return null;
  }
}
