/**
 * Every default of the agent's configuration, in one table, each with the observation behind the number.
 * docs/reference/agent-configuration.md shows them; its test loads each as if it had been written out.
 */
import type { ControlSpec, GateSpec, HostSpec, LogSpec, MountCheckSpec, RestartPolicy } from './spec.ts';

const second = 1_000;
const minute = 60 * second;

export const defaults = {
  stateDir: '/var/lib/relight',
  /** What may restart a workload is root's, until somebody says otherwise. */
  control: { group: null } satisfies ControlSpec,
  engineSocket: '/var/run/docker.sock',
  /** Three verbs only (restart, pause, resume), and only with an operator's token. */
  remoteActions: true,
  /** Hosts that reboot while they are set up: everything quiet for 5 s; 15 min is the longest boot that the field waits for. */
  gate: {
    quietForMs: 5 * second,
    timeoutMs: 15 * minute,
    packageManagerIdle: true,
    pendingReboot: 'wait',
    tcp: [],
    lockFiles: [],
  } satisfies GateSpec,
  /** Longer than a repair by hand, shorter than a night. */
  guard: { file: null, maxAgeMs: 120 * minute } satisfies HostSpec['guard'],
  /** What runs may be of use to somebody; what is dead only fills the disk. */
  orphans: 'remove-stopped' satisfies HostSpec['orphans'],
  accelerators: { gpus: null } satisfies HostSpec['accelerators'],
  /** A metadata or cloud CLI call takes seconds, not minutes. */
  variableTimeoutMs: 20 * second,
  /** As for checks: a dependency that needs longer to accept a connection is not up. */
  dependencyTimeoutMs: 5 * second,
  /** An operator of cloud training fleets raised it 15 → 20 → 25 min; image pulls dominate. */
  startDeadlineMs: 25 * minute,
  /** The same operator's health check: 36 × 5 s. */
  readyWindowMs: 180 * second,
  /** Cloud mounts appear within seconds; a token refresh or a slow metadata server costs tens of them. */
  mountTimeoutMs: 60 * second,
  /** A hang is known after (10 + 5) × 2 s. */
  mountCheck: { intervalMs: 10 * second, timeoutMs: 5 * second, failures: 2 } satisfies MountCheckSpec,
  /** pip and package installs take minutes; longer ones say so. */
  setupTimeoutMs: 10 * minute,
  setupRetry: { attempts: 1, delayMs: 5 * second },
  /** As `docker stop`. */
  stopTimeoutMs: 10 * second,
  /** Until ready every second counts: fast, but one at a time. */
  ready: { intervalMs: 1 * second, timeoutMs: 5 * second },
  /** Probes every 2 s restarted healthy nodes 8 times a day (gonka PR 1421). */
  live: { intervalMs: 10 * second, timeoutMs: 5 * second, failures: 3 },
  /** Every host of a cluster asks the same head; the first answers come sooner (checks/ray-pace.ts). */
  rayNode: { intervalMs: 10 * second },
  /** nvidia-smi takes up to seconds on a host without persistence mode; a GPU is lost by reloads, which are rare. */
  gpu: { intervalMs: 30 * second, timeoutMs: 10 * second, failures: 2 },
  /** As for mounts. That the mount inside is dead is certain at once; that it hangs takes two. */
  volumes: { intervalMs: 10 * second, timeoutMs: 5 * second, failures: 2 },
  restart: {
    /** Three failures of a process in one container: suspect the container. */
    process: {
      initialMs: 1 * second,
      maxMs: 60 * second,
      factor: 2,
      jitter: 0.25,
      resetAfterMs: 10 * minute,
      budget: { count: 10, windowMs: 10 * minute },
      escalateAfter: 3,
    },
    container: {
      initialMs: 1 * second,
      maxMs: 60 * second,
      factor: 2,
      jitter: 0.25,
      resetAfterMs: 10 * minute,
      budget: { count: 5, windowMs: 10 * minute },
      escalateAfter: null,
    },
  } satisfies { process: RestartPolicy; container: RestartPolicy },
  /** What operators asked for by their own numbers; each field that is written out wins over its preset. */
  restartPresets: {
    /** HTTP servers that load a model for minutes: ten tries within about five minutes, where 2, 4 and 8 s had been too few. */
    'http-startup': {
      delaysMs: [5, 5, 10, 20, 40, 60].map((seconds) => seconds * second),
      maxMs: 60 * second,
      budget: { count: 10, windowMs: 10 * minute },
    },
    /** Hosts that reboot while they are set up: five tries, 30 s apart, and a longer pause after every third failure. */
    'slow-host': {
      initialMs: 30 * second,
      factor: 1,
      maxMs: 5 * minute,
      cooldown: { after: 3, ms: 5 * minute },
      budget: { count: 5, windowMs: 30 * minute },
    },
  } satisfies Record<string, Partial<RestartPolicy>>,
  /** Protects the collector from one runaway loop, far above honest logging. */
  logs: { rateLimit: { lines: 50_000, windowMs: 1 * second }, files: [], redact: [] } satisfies LogSpec,
  /** Core dumps of accelerator jobs (tens of GB each) fill the disk. */
  ulimits: { core: { soft: 0, hard: 0 } },
} as const;
