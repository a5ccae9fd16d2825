/** What the supervisor of a workload knows of its prepared spare (spare.ts), and what becomes of its taking over. */
import type { SupervisorEvent } from './event.ts';
import { blocked } from './host-word.ts';
import type { Op } from './op.ts';
import type { MainWord, SpareOffer } from './spare-state.ts';
import type { WorkloadState } from './state.ts';
import type { Work } from './work.ts';

export function onSpare(work: Work, { generation, offer }: Extract<SupervisorEvent, { type: 'spare' }>): void {
  const { spareGeneration, spareRefused } = work.state;
  const usable = offer !== null && offer.containerId !== spareRefused?.containerId;
  work.set({ spareGeneration: Math.max(spareGeneration, generation), spare: usable ? offer : null });
}

/** Generations only grow: one that was prepared before the present container is of yesterday. */
export const spareToTake = ({ spare, generation }: WorkloadState): SpareOffer | null =>
  spare !== null && spare.generation > generation ? spare : null;

export const nextGeneration = ({ generation, spareGeneration }: WorkloadState): number => Math.max(generation, spareGeneration) + 1;

/** What the spare must know of the workload. */
export function wordForSpare(state: WorkloadState): MainWord {
  const { phase, readyAt, op, suspectedDeath, container, generation, spareRefused: refused } = state;
  const quiet = phase === 'ready' && readyAt !== null && op === null && suspectedDeath === null && blocked(state) === null;
  const reason = quiet ? '' : `until the workload is ready; it is ${phase}`;
  return { quiet, reason, containerId: container?.id ?? null, generation, highest: nextGeneration(state) - 1, refused };
}

type TakeOp = Extract<Op, { kind: 'take-spare' }>;

/** All but the process is in place. */
export function spareTaken(work: Work, { offer }: TakeOp, pid: number): void {
  const { containerId: id, generation, startedAt, mounts, setup, nextRun } = offer;
  work.set({
    container: { id, running: true, frozen: false, pid, renamedTo: null, nameHolder: null, startedAt },
    generation,
    replace: false,
    mounts,
    setup,
    setupEarlier: [],
    nextRun: Math.max(work.state.nextRun, nextRun),
    spare: null,
  });
  work.emit('container.created', 'info', `the prepared spare has become the container of generation ${generation}`, {
    containerId: id,
    image: work.spec.container.image,
    spare: true,
  });
  // What happened to it meanwhile was taken for our own doing.
  work.effect({ kind: 'observe' });
}

/** Nobody's failure: a container is made as if there had been no spare. */
export function spareRefused(work: Work, { offer }: TakeOp, reason: string): void {
  work.set({ spare: null, spareRefused: { containerId: offer.containerId, reason } });
  work.emit('host.notice', 'warning', reason, { spare: 'refused', containerId: offer.containerId });
}
