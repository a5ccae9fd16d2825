/**
 * What is remembered may be older than what is there: a state directory without space took no more of it, or came from a backup.
 * Then the labels of the container that has the name now know better, as if nothing were remembered.
 */
import type { ContainerFacts } from '../engine/engine.ts';
import { leaveReady } from './failure.ts';
import { noContainer } from './inside.ts';
import type { Work } from './work.ts';

/** `ours`: without spares. Only for the first look of a life of the agent. */
export function forgetStale(work: Work, ours: readonly ContainerFacts[], generationOf: (facts: ContainerFacts) => number): void {
  const { container, generation } = work.state;
  if (container === null || !ours.some((facts) => facts.name === work.spec.container.name && generationOf(facts) > generation)) return;
  leaveReady(work);
  work.set({ ...noContainer, nextRun: 1 });
}
