import { RelightError } from '@relight/shared/errors';
import type { RunRef } from '../supervisor/op.ts';
import { formatRunId, parseRunId } from '../supervisor/run-id.ts';

/** Something that belongs to a run: same number, so that it is purged with it, and a log of its own. */
export function namedRun(run: RunRef, name: string): RunRef {
  const parts = parseRunId(run.runId);
  if (parts === undefined) throw new RelightError('internal', `"${run.runId}" is not the id of a run`);
  return { runId: formatRunId({ ...parts, name }), kind: run.kind, name };
}
