/** Phases of a workload and states of a host, as the API shows them; docs/operations.md says what each means. */
export const phases = [
  'waiting',
  'pulling',
  'creating',
  'mounting',
  'setting-up',
  'starting',
  'verifying',
  'ready',
  'degraded',
  'back-off',
  'held',
  'paused',
  'stopped',
  'unknown',
] as const;
export type Phase = (typeof phases)[number];

export const hostStates = ['expected', 'unknown', 'connected', 'disconnected', 'suspect', 'dead', 'rebooting', 'stopped'] as const;
export type HostState = (typeof hostStates)[number];

/** Whether what is shown of the workloads there is so now, or what was last known: nobody tells of them any more. */
export const isWatched = (host: HostState): boolean => host === 'connected' || host === 'suspect' || host === 'disconnected';

/** The levels at which Relight acts. */
export const levels = ['process', 'container', 'host'] as const;
export type Level = (typeof levels)[number];
