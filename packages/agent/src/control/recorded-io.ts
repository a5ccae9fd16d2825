/** For tests: an Io that remembers what was said, a directory of one's own, and files in it. */
import { chmodSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ManualClock } from '@relight/shared/manual-clock';
import { stringify } from 'yaml';
import type { Io } from './io.ts';

export interface RecordedIo extends Io {
  readonly out: string[];
  readonly err: string[];
}

export function recordedIo(env: Io['env'] = { PATH: process.env['PATH'] }): RecordedIo {
  const out: string[] = [];
  const err: string[] = [];
  return {
    out,
    err,
    env,
    clock: new ManualClock(),
    columns: null,
    write: (text) => void out.push(text),
    note: (text) => void err.push(text),
  };
}

export const temporaryDirectory = (): string => mkdtempSync(join(tmpdir(), 'relight-commands-'));

/** Content that is no text becomes YAML. */
export function writeTo(directory: string, name: string, content: unknown, mode = 0o600): string {
  const path = join(directory, name);
  writeFileSync(path, typeof content === 'string' ? content : stringify(content));
  chmodSync(path, mode);
  return path;
}
