/**
 * The machine of the prepared spare. Pure, and beside the supervisor of the workload, never in its way: it begins something only while the
 * workload is ready and left alone, counts its own failures by its own history, and what it does not finish is thrown away.
 *
 *   remove what must go ▸ inputs ▸ create ▸ start ▸ mounts and setup in order ▸ ready (offered), compared and probed from then on
 *
 * The workload's supervisor takes an offered spare by renaming it; the next word about it says that it is ours no more.
 */
import { formatDurationMs } from '@relight/shared/units';
import { placement } from './advance.ts';
import { noRestarts } from './restart-policy.ts';
import { compareWithMain, onMountCheck, onObserved, onOpDone } from './spare-facts.ts';
import type { SpareEffect, SpareEvent, SpareOp, SpareState } from './spare-state.ts';
import { type SpareContext, SpareWork } from './spare-work.ts';

/**
 * How often a spare that waits is compared with what it would be made from now. Variables may be costly to resolve, and it is
 * compared again when it is taken: this only finds out early, while there is time to make another one.
 */
export const compareMs = 10 * 60_000;

export interface SpareTransition {
  readonly state: SpareState;
  readonly effects: readonly SpareEffect[];
}

export function spareTransition(state: SpareState, event: SpareEvent, context: SpareContext): SpareTransition {
  const work = new SpareWork(state, context);
  if (event.type === 'main') work.set({ main: event.main });
  else if (event.type === 'observed') onObserved(work, event.containers, event.afterOutage);
  else if (event.type === 'op-done') onOpDone(work, event);
  else if (event.type === 'mount-check') onMountCheck(work, event);
  compareWithMain(work);
  advance(work);
  return { state: work.state, effects: work.effects };
}

/** When the next `tick` is due even if nothing happens. */
export function spareWakeAt({ op, main, backOff, prepared, comparedAt, condemned }: SpareState): number | null {
  if (op !== null || main?.quiet !== true) return null;
  if (backOff !== null) return backOff.until;
  return prepared && condemned === null ? comparedAt + compareMs : null;
}

function advance(work: SpareWork): void {
  const { state, context } = work;
  const { main, op, seen } = state;
  if (op !== null || main === null || !seen) return;
  forgetOldFailures(work);
  if (!main.quiet) {
    if (!state.prepared && state.phase !== 'back-off') work.enter('waiting', main.reason);
    return;
  }
  if (state.backOff !== null && context.now < state.backOff.until) {
    work.enter('back-off', state.backOff.reason);
    return;
  }
  if (state.backOff !== null) work.set({ backOff: null });
  const next = nextOp(work);
  if (next === null) {
    ready(work);
    return;
  }
  if (next.kind !== 'inputs' || !state.prepared) work.enter('preparing', stageOf(next));
  work.run(next);
}

/** Null: all is in place. */
function nextOp(work: SpareWork): SpareOp | null {
  const { state, context } = work;
  const { container, condemned, strays, fresh, main } = state;
  const gone = condemned === null ? strays[0] : (container?.id ?? strays[0]);
  if (gone !== undefined) return { kind: 'remove', containerId: gone };
  if (container === null) {
    if (fresh === null) {
      work.set({ startedAt: context.now });
      return { kind: 'inputs' };
    }
    const generation = Math.max(state.generation, main?.highest ?? 0) + 1;
    // Before it begins: one that a crash leaves behind must not have the number of the next.
    work.set({ generation });
    return { kind: 'create', generation };
  }
  if (container.startedAt === null) return { kind: 'start', containerId: container.id };
  return nextInside(work) ?? (context.now >= state.comparedAt + compareMs ? { kind: 'inputs' } : null);
}

function nextInside(work: SpareWork): SpareOp | null {
  const { state } = work;
  const { spec } = work.context;
  for (const item of placement(spec)) {
    if (item.kind === 'mount' && state.mounts[item.mount] === undefined)
      return { kind: 'mount', mount: item.mount, run: work.newRun('mount', item.mount) };
    if (item.kind === 'step' && !state.setup.includes(item.name))
      return { kind: 'setup', index: spec.setup.indexOf(item), run: work.newRun('setup', item.name), verifyFirst: false };
  }
  return null;
}

function ready(work: SpareWork): void {
  const { state, context } = work;
  if (!state.prepared) {
    const durationMs = context.now - state.startedAt;
    work.set({ prepared: true, fresh: null, told: null, mountFailures: {} });
    work.say('info', `a spare is prepared, in ${formatDurationMs(durationMs)}`, {
      spare: 'ready',
      durationMs,
      containerId: state.container?.id,
    });
  }
  work.enter('ready', 'mounted and set up, its process not started');
}

function forgetOldFailures(work: SpareWork): void {
  const { phase, history, since } = work.state;
  const { spec, now } = work.context;
  if (phase === 'ready' && history !== noRestarts && now - since >= spec.restart.container.resetAfterMs) work.set({ history: noRestarts });
}

function stageOf(op: SpareOp): string {
  if (op.kind === 'mount') return `mount ${op.mount}`;
  if (op.kind === 'setup') return `setup ${op.run.name}`;
  return { inputs: 'variables and image', create: 'create the container', start: 'start the container', remove: 'remove the old one' }[
    op.kind
  ];
}
