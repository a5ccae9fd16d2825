import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs';
import type { RunHandle } from '../supervisor/op.ts';
import { openRegular, type RunFiles } from './run-files.ts';
import type { RunSession } from './run-members.ts';

/**
 * Remembers the session of a run: its members are found by it when they have overwritten their environment. False: it could
 * not be written (a full disk must not stop a recovery); then those few are found by descent only.
 */
export function writeSession(files: RunFiles, { pid, startTicks }: RunHandle): boolean {
  try {
    const fd = openSync(sessionPath(files), constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
    try {
      writeSync(fd, `${pid} ${startTicks}\n`);
    } finally {
      closeSync(fd);
    }
    return true;
  } catch {
    return false;
  }
}

/** Null: it was never started, or its files are gone. */
export function readSession(files: RunFiles | null): RunSession | null {
  const fd = files === null ? null : openRegular(sessionPath(files));
  if (fd === null) return null;
  const buffer = Buffer.alloc(64);
  const text = buffer.toString('latin1', 0, readSync(fd, buffer));
  closeSync(fd);
  const [, pid, startTicks] = /^(\d+) (\d+)\n$/.exec(text) ?? [];
  return pid === undefined || startTicks === undefined ? null : { pid: Number(pid), startTicks: Number(startTicks) };
}

const sessionPath = (files: RunFiles): string => `${files.directory}/${files.base}.session`;
