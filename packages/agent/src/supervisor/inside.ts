import type { WorkloadState } from './state.ts';
import type { Work } from './work.ts';

/** The inside of the container is new: nothing that was placed there holds any more; verify decides which steps still do. */
export function clearInside(work: Work): void {
  const { setup, setupEarlier } = work.state;
  work.set({
    mounts: {},
    setup: [],
    setupEarlier: [...new Set([...setupEarlier, ...setup])],
    process: null,
    processStartedAt: null,
    leftovers: [],
    lostMounts: [],
    again: false,
    stop: 'no',
  });
}

/** Nothing of a container is left, nor of what was inside it. */
export const noContainer = {
  container: null,
  replace: false,
  again: false,
  mounts: {},
  setup: [],
  setupEarlier: [],
  process: null,
  processStartedAt: null,
  leftovers: [],
  lostMounts: [],
  stop: 'no',
} as const satisfies Partial<WorkloadState>;
