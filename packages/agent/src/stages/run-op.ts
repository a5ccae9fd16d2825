/** From an operation to the stage that carries it out. */
import type { Op, OpKind, OpValue } from '../supervisor/op.ts';
import { create } from './create.ts';
import { halt } from './halt.ts';
import { look } from './look.ts';
import { mount } from './mount.ts';
import { inPlainWords } from './plain-words.ts';
import { prepare, refresh } from './prepare.ts';
import { startProcess } from './process.ts';
import { pull } from './pull.ts';
import { rename } from './rename.ts';
import { retire } from './retire.ts';
import { setup } from './setup.ts';
import { runOwnerOf, type StageContext } from './stage.ts';
import { takeSpare } from './spare.ts';
import { start } from './start.ts';
import { stopRuns } from './stop-runs.ts';

type Stage<K extends OpKind> = (op: Extract<Op, { kind: K }>, context: StageContext) => Promise<Extract<OpValue, { kind: K }>>;

const stages: { readonly [K in OpKind]: Stage<K> } = {
  adopt: async ({ containerId }, context) => ({ kind: 'adopt', runs: await context.runs.list(containerId, runOwnerOf(context)) }),
  prepare: (_, context) => prepare(context),
  refresh: (_, context) => refresh(context),
  pull: (_, context) => pull(context),
  look,
  'stop-runs': stopRuns,
  retire,
  rename,
  create,
  'take-spare': takeSpare,
  start,
  halt,
  mount,
  setup,
  process: startProcess,
};

/** Fails with a RelightError; an abort of `context.signal` counts as its reason, `cancelled` without one. */
export async function runOp(op: Op, context: StageContext): Promise<OpValue> {
  try {
    return await (stages[op.kind] as Stage<OpKind>)(op, context);
  } catch (thrown) {
    throw inPlainWords(op.kind, context.spec.container.image, thrown);
  }
}
