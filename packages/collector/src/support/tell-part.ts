/** In the child: gathers one part and says it, a record a line, as soon as it is known. */
import { systemClock } from '@relight/shared/clock';
import { constants, setPriority } from 'node:os';
import { becomeOwnerOf } from '../commands/tokens-beside.ts';
import { certificatePiece } from './certificate.ts';
import { checkPieces } from './check.ts';
import { filePieces } from './files.ts';
import type { PartRecord, PartRequest } from './part.ts';
import { storePieces } from './store-facts.ts';

/** `request` as `askPart` has written it. */
export async function tellPart(request: PartRequest): Promise<void> {
  // The service has the processor first.
  setPriority(constants.priority.PRIORITY_LOW);
  for (const record of records(request)) await say(`${JSON.stringify(record)}\n`);
}

/**
 * Once the pipe has all of it, for what is gathered next may end this process. Not by `writeSync`: whoever has touched `process.stdout` has
 * a pipe that waits for nobody, which takes the beginning of a long record, or nothing (EAGAIN).
 */
function say(line: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(line, (error) => (error ? reject(error) : resolve()));
  });
}

function* records(request: PartRequest): Generator<PartRecord> {
  const { part, dataDir } = request;
  const now = systemClock.now();
  // As root, who sees every file. The rest is read as the service reads it, and SQLite makes no file beside the store that it cannot open.
  if (part === 'files') yield* filePieces(dataDir);
  becomeOwnerOf(dataDir);
  if (part === 'files') yield certificatePiece(request, now);
  else {
    yield* storePieces(dataDir, now);
    yield* checkPieces(dataDir, systemClock);
  }
}
