import { expect, test } from 'vitest';
import { workloadFixture } from '../../../../test/support/specs.ts';
import type { Context } from './event.ts';
import { initialState, type WorkloadState } from './state.ts';
import { transition } from './transition.ts';

const spec = workloadFixture();
const context: Context = { now: 10_000, random: 0.5, spec, ownerId: 'o' };
const check = { ok: false, failures: 3, message: 'refused' };
const up = { engine: { up: true, reason: '', since: 0 }, adopted: true } as const;
const unchanged = { type: 'spec-changed', impact: 'none', fields: ['live'] } as const;

const ready: WorkloadState = {
  ...initialState(0),
  ...up,
  phase: 'degraded',
  readyAt: 1,
  container: { id: 'c', running: true, frozen: false, pid: 7, renamedTo: null, nameHolder: null, startedAt: 1 },
  mounts: { bucket: { run: null } },
  setup: ['keys', 'caches'],
  process: { runId: 'r', pid: 8, startTime: 1 } as unknown as WorkloadState['process'],
};

test('what a check has said that is asked no more keeps nothing degraded; what is asked still does', () => {
  const gone = transition({ ...ready, live: { 'not there any more': check } }, unchanged, context);
  expect(gone.state).toMatchObject({ phase: 'ready', live: {} });
  expect(gone.effects.filter(({ kind }) => kind === 'run')).toEqual([]);
  const kept = transition({ ...ready, live: { health: check } }, unchanged, context);
  expect(kept.state).toMatchObject({ phase: 'degraded', live: { health: check } });
});

test('what is held is tried at once, although nothing of it has to be restarted', () => {
  const failure = { code: 'image-not-found', message: 'no such image', recoverable: false, advice: '', data: {} } as const;
  const held = { failure, retryAt: 99_000, looks: 4 };
  const state = { ...initialState(0), ...up, phase: 'held', held } as const;
  expect(transition(state, { type: 'tick' }, context).effects).toEqual([]);
  const tried = transition(state, unchanged, context);
  expect(tried.effects).toContainEqual(expect.objectContaining({ kind: 'run', op: { kind: 'prepare' } }));
  expect(tried.state.restarts).toEqual({ process: 0, container: 0, host: 0 });
});
