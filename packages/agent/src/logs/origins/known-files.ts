/**
 * Under which name each file of a container was first seen, over a restart of the agent: one that was renamed since is still
 * the same segment. A small JSON file; without it such a file comes once more, under its new name.
 */
import * as fs from 'node:fs';
import { dirname } from 'node:path';
import { errorMessage } from '@relight/shared/errors';
import { segmentKeySchema, type SegmentKey } from '@relight/shared/log-stream';
import * as z from 'zod';
import { replaceFile } from '../../host/atomic-file.ts';

/** By run: container, inode and birth. */
export type KnownFiles = Record<string, SegmentKey>;

const fileSchema = z.object({ version: z.literal(1), files: z.record(z.string(), segmentKeySchema) });

/** `note` says why the file was not used. */
export function loadKnownFiles(path: string): { readonly known: KnownFiles; readonly note: string | null } {
  try {
    return { known: fileSchema.parse(JSON.parse(fs.readFileSync(path, 'utf8'))).files, note: null };
  } catch (error) {
    return { known: {}, note: (error as NodeJS.ErrnoException).code === 'ENOENT' ? null : errorMessage(error) };
  }
}

/** Atomic, not synced. Throws errno errors. */
export function saveKnownFiles(path: string, known: Readonly<KnownFiles>): void {
  fs.mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  replaceFile(path, JSON.stringify({ version: 1, files: known }));
}
