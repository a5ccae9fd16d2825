/** In the child: gathers one part and says it, a record a line, as soon as it is known. */
import { systemClock } from '@relight/shared/clock';
import { constants, setPriority } from 'node:os';
import { writeSync } from 'node:fs';
import { becomeOwnerOf } from '../commands/tokens-beside.ts';
import { certificatePiece } from './certificate.ts';
import { checkPieces } from './check.ts';
import { filePieces } from './files.ts';
import type { PartRecord, PartRequest } from './part.ts';
import { storePieces } from './store-facts.ts';

/** `request` as `askPart` has written it. */
export function tellPart(request: PartRequest): void {
  // The service has the processor first.
  setPriority(constants.priority.PRIORITY_LOW);
  for (const record of records(request)) writeSync(1, `${JSON.stringify(record)}\n`);
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
