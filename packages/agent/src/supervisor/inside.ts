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
