/** Pure: which workload a container is that the engine says nothing about, and what a person is told of it. */
import type { SilentContainer } from '../engine/silent-containers.ts';
import type { ReportedCondition } from './condition-diff.ts';

/** An engine under load is slow about a container, too, and what is frozen half begun has been let begin by then. */
const toldAfterMs = 20_000;

/**
 * The one that is this workload's, as far as anybody can tell: the one that it knows; without one, who has its name; before anything was
 * compared with what there is, also one of ours that nobody can say more of. Undefined: it can be looked after.
 */
export function silentAbout(
  silent: readonly SilentContainer[],
  { container, adopted }: { readonly container: { readonly id: string } | null; readonly adopted: boolean },
  containerName: string,
): SilentContainer | undefined {
  if (container !== null) return silent.find(({ id }) => id === container.id);
  return silent.find(({ name }) => name === containerName || (name === null && !adopted));
}

const nameOf = ({ id, name }: SilentContainer): string => name ?? id.slice(0, 12);

/** `liveRestore` null: the engine has not told. */
export function silentReason(container: SilentContainer, liveRestore: boolean | null): string {
  return `${whatIsSilent(container)}. ${adviceFor(liveRestore)}`;
}

/** `told`: what stands already, also since an earlier life of the agent. `now`: monotonic. */
export function silentConditions(
  silent: readonly SilentContainer[],
  now: number,
  liveRestore: boolean | null,
  told: readonly Pick<ReportedCondition, 'subject'>[],
): ReportedCondition[] {
  return silent
    .filter((container) => now - container.since >= toldAfterMs || told.some(({ subject }) => subject === nameOf(container)))
    .map((container) => ({
      name: 'container-unanswered',
      subject: nameOf(container),
      severity: 'error',
      reason: whatIsSilent(container),
      advice: adviceFor(liveRestore),
    }));
}

const whatIsSilent = (container: SilentContainer): string =>
  `the engine answers, but says nothing about the container ${nameOf(container)}: it holds a lock on it`;

const restart = 'Restart the engine: systemctl restart docker';

function adviceFor(liveRestore: boolean | null): string {
  if (liveRestore === true) return `${restart}. With live-restore, as here, the containers go on meanwhile.`;
  const first = 'have "live-restore": true in /etc/docker/daemon.json and systemctl reload docker first, and they go on';
  return `${restart}. Without live-restore all containers of this host fall with it, and Relight brings its own back; to spare them, ${first}.`;
}
