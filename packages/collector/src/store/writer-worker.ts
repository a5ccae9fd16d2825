/**
 * The writing thread. It starts itself where this module is loaded by a thread that was started for it, both from sources
 * (this file is the thread's entry) and in the bundle (the bundle is; main.ts then does nothing else).
 *
 * Gathering is natural: while one group is committed, the next one collects. So a lone write waits for nothing, and under
 * load one fsync (milliseconds) serves all writes that came during the one before.
 */
import { isMainThread, parentPort, workerData, type MessagePort } from 'node:worker_threads';
import { openForWriting } from './database.ts';
import { commitGroup, failAll, type Outcome } from './group-commit.ts';
import { boundWal } from './logs/checkpoints.ts';
import { logDirectory } from './logs/file-names.ts';
import { logUpkeep, upkeepNames, type LogUpkeep } from './logs/log-upkeep.ts';
import { LogWriter, type LogCommand, type LogDamage, type LogFileLimits } from './logs/log-writer.ts';
import { createWrites, type AnyCommand, type MainWrites } from './writes.ts';
import type { Command } from './group-commit.ts';

export interface WriterData {
  readonly role: 'relight-store-writer';
  readonly dataDir: string;
  readonly logFileLimits?: LogFileLimits;
}
/** To the thread. `bytes`: the weight of a command, to bound a group. */
export type WriterRequest = { readonly command: AnyCommand; readonly bytes: number } | 'close';
/** From the thread. */
export type WriterReport = { readonly outcomes: readonly Outcome[] } | { readonly damage: LogDamage } | 'ready';

const groupCommandsMax = 256;
/** A group stays well below the limit of the write-ahead log. */
const groupBytesMax = 16 * 1024 * 1024;

function runWriter(port: MessagePort, { dataDir, logFileLimits }: WriterData): void {
  const report = (message: WriterReport): void => port.postMessage(message);
  const db = openForWriting(dataDir);
  // By the maintenance thread and by boundWal, never within a commit.
  db.pragma('wal_autocheckpoint = 0');
  const writes = createWrites(db);
  const directory = logDirectory(dataDir);
  const logs = new LogWriter({
    directory,
    onDamage: (damage) => report({ damage }),
    ...(logFileLimits === undefined ? {} : { limits: logFileLimits }),
  });
  const upkeep = logUpkeep(directory, logs);
  let waiting: { command: AnyCommand; bytes: number }[] = [];
  let scheduled = false;

  const commitWaiting = (): void => {
    scheduled = false;
    while (waiting.length > 0) {
      const size = groupSize(waiting);
      const group = waiting.slice(0, size).map(({ command }) => command);
      waiting = waiting.slice(size);
      // Two files, two commits, each with its own answers. Events never wait for logs.
      const main = group.filter((command): command is Command<MainWrites> => !isLog(command) && !isUpkeep(command));
      if (main.length > 0) report({ outcomes: commitGroup(db, writes, main) });
      const pieces = group.filter(isLog);
      if (pieces.length > 0) report({ outcomes: commitPieces(logs, pieces) });
      for (const command of group.filter(isUpkeep)) report({ outcomes: [runUpkeep(upkeep, command)] });
      boundWal(db);
      if (logs.current !== null) boundWal(logs.current.db);
    }
  };
  port.on('message', (request: WriterRequest) => {
    if (request === 'close') {
      commitWaiting();
      logs.close();
      db.close();
      port.close();
      return;
    }
    waiting.push(request);
    if (scheduled) return;
    scheduled = true;
    // After this turn of the loop has delivered every message that is there.
    setImmediate(commitWaiting);
  });
  report('ready');
}

const isLog = (command: AnyCommand): command is LogCommand => command.name === 'commitBlock' || command.name === 'commitGap';
const isUpkeep = (command: AnyCommand): command is Command<LogUpkeep> => (upkeepNames as readonly string[]).includes(command.name);

function commitPieces(logs: LogWriter, pieces: readonly LogCommand[]): Outcome[] {
  try {
    return logs.commit(pieces);
  } catch (error) {
    return failAll(pieces, error);
  }
}

function runUpkeep(upkeep: LogUpkeep, { id, name, args }: Command<LogUpkeep>): Outcome {
  try {
    return { id, ok: true, value: (upkeep[name] as (...all: unknown[]) => unknown)(...args) };
  } catch (error) {
    return failAll([{ id }], error)[0] as Outcome;
  }
}

function groupSize(waiting: readonly { bytes: number }[]): number {
  let bytes = 0;
  const end = waiting.findIndex((item, index) => index === groupCommandsMax || (bytes += item.bytes) > groupBytesMax);
  return end === -1 ? waiting.length : Math.max(1, end);
}

const data = workerData as Partial<WriterData> | null;
if (!isMainThread && parentPort !== null && data?.role === 'relight-store-writer') runWriter(parentPort, data as WriterData);
