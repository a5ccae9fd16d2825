/** Whether a second container can stand beside the first one until it is needed. */
import type { WorkloadSpec } from './spec.ts';

/** What speaks against a prepared spare, for a person; null: nothing. */
export function whyNoSpare({ container, mounts, process }: Omit<WorkloadSpec, 'spare'>): string | null {
  if (process === null) return 'needs a process: without one the container itself is the process, and two of it would run at once';
  if (container.adopt !== undefined) return 'cannot stand beside an adopted container; describe the container here';
  if (container.onDeath === 'start') return 'contradicts on_death: start: with a spare, a container that died is set aside';
  const port = container.ports.find(({ hostPort }) => hostPort !== undefined);
  if (port !== undefined)
    return `cannot share the host's port ${port.hostPort} with the container that it stands in for; use network_mode: host, or no published port`;
  const alias = container.networks.find(({ aliases }) => aliases.length > 0);
  if (alias !== undefined)
    return `would answer to the aliases of network ${alias.name} while nothing runs in it; leave out the aliases, or use network_mode: host`;
  const shared = container.volumes.find(({ propagation }) => propagation === 'shared' || propagation === 'rshared');
  const through =
    shared === undefined ? undefined : mounts.find(({ target }) => target === shared.target || target.startsWith(`${shared.target}/`));
  if (through !== undefined)
    return `would mount ${through.name} at the same place of the host: its target lies in a volume with shared propagation`;
  return null;
}
