/** What an agent says about itself, and what the API passes on: workload status, host facts, metrics. */
import * as z from 'zod';
import { severitySchema, wordsSchema, workloadLengthMax } from './event.ts';
import { openEnum } from './open-enum.ts';
import { phases } from './phase.ts';

export const restartCountsSchema = z.object({ process: z.number().int(), container: z.number().int(), host: z.number().int() });

/** Sampled every 10 s. Absent fields could not be read. */
export const workloadMetricsSchema = z.object({
  /** 1 = one core fully used. */
  cpuCores: z.number().optional(),
  memoryBytes: z.number().optional(),
  memoryLimitBytes: z.number().optional(),
  pids: z.number().optional(),
});
export type WorkloadMetrics = z.infer<typeof workloadMetricsSchema>;

/** Wire form: times are epoch milliseconds. The API turns them into ISO-8601. */
export const spareStatusSchema = z.object({
  /** `ready`: it could take over now. */
  state: openEnum(['waiting', 'preparing', 'ready', 'back-off'], 'waiting'),
  since: z.number(),
  reason: wordsSchema(),
});
export type SpareStatus = z.infer<typeof spareStatusSchema>;

/** Another configuration that is held back, because the image that it wants is not on the host. Wire form: times in epoch milliseconds. */
export const waitingConfigurationSchema = z.object({
  /** The image that it waits for. */
  image: wordsSchema(),
  since: z.number(),
  /** What the pull said last; null: nothing is pulled at the moment. */
  progress: wordsSchema().nullable(),
  /** Why it is not here yet, for a person. */
  reason: wordsSchema(),
  /** What a person does about it; '' when there is nothing to do. */
  advice: wordsSchema(),
  /** When it is asked for again; null: it is being asked for, or something else is awaited. */
  nextAttemptAt: z.number().nullable(),
});
export type WaitingConfiguration = z.infer<typeof waitingConfigurationSchema>;

export const workloadStatusSchema = z.object({
  name: wordsSchema(workloadLengthMax),
  phase: openEnum(phases, 'unknown'),
  phaseSince: z.number(),
  /** Why it is in this phase, for a person. */
  reason: wordsSchema(),
  /** The stage under way (`setup 2/5: ssh keys`), or null. */
  stage: wordsSchema().nullable(),
  stageSince: z.number().nullable(),
  attempt: z.number().int(),
  nextAttemptAt: z.number().nullable(),
  /** The dependency that it waits for (`10.0.0.1:6379`), so that one dead head is one trouble for the whole fleet. */
  waitingFor: wordsSchema().nullable().optional(),
  generation: z.number().int(),
  containerId: wordsSchema(128).nullable(),
  image: wordsSchema(),
  readyAt: z.number().nullable(),
  /** Counted failures by level; restarts by hand are none. */
  restarts: restartCountsSchema,
  /** Starts of the container by somebody else. */
  foreignRestarts: z.number().int().optional(),
  /** Ways to ready that were begun, and those that came to ready: their quotient is the success rate. */
  recoveries: z.object({ attempted: z.number().int(), succeeded: z.number().int() }).optional(),
  lastIncidentId: wordsSchema(64).nullable(),
  /** Of the prepared spare; null where none is kept. */
  spare: spareStatusSchema.nullable().optional(),
  /** Null: what runs is what the configuration says, or is being made so. */
  waitingConfiguration: waitingConfigurationSchema.nullable().optional(),
  metrics: workloadMetricsSchema.nullable(),
});
export type WorkloadStatus = z.infer<typeof workloadStatusSchema>;

export const diskMetricsSchema = z.object({
  path: wordsSchema(),
  totalBytes: z.number(),
  freeBytes: z.number(),
  inodesFree: z.number().optional(),
  inodesTotal: z.number().optional(),
});

export const hostMetricsSchema = z.object({
  at: z.number(),
  load1: z.number().optional(),
  /** Share of all cores in use since the last sample, 0…1. */
  cpuUsed: z.number().optional(),
  memoryTotalBytes: z.number().optional(),
  memoryAvailableBytes: z.number().optional(),
  /** Share of the last minute in which nothing could run for want of memory, 0…1; absent where the kernel does not count it. */
  memoryStalled: z.number().optional(),
  disks: z.array(diskMetricsSchema).default([]),
  /** Since the last sample, interfaces that lead out of the host: no loopback, no bridges and veths of containers. */
  networkReceiveBytesPerSecond: z.number().optional(),
  networkTransmitBytesPerSecond: z.number().optional(),
  /** The agent's own resident memory. */
  agentResidentBytes: z.number().optional(),
});
export type HostMetrics = z.infer<typeof hostMetricsSchema>;

/**
 * What is wrong with a host as long as it is (a nearly full disk, a GPU that fell off the bus, an announced preemption). One
 * per (name, subject). Wire form: `since` in epoch milliseconds, by the agent's clock.
 */
export const hostConditionSchema = z.object({
  /** Stable and short: `disk-low`, `gate`, `clock-skew` … */
  name: z.string().max(64),
  /** What it is about: a path, a device, a container; '' for the host as a whole. */
  subject: z.string().max(512),
  severity: severitySchema,
  since: z.number(),
  /** One line, for a person. */
  reason: z.string().max(2048),
  /** What a person does next; '' when there is nothing to do. */
  advice: z.string().max(2048),
});
export type HostCondition = z.infer<typeof hostConditionSchema>;
/** The one that a collector raises for a host whose agent it cannot let in. */
export const agentRefusedName = 'agent-refused';
/**
 * Conditions that announce the host's silence, and the state that silence then means: a machine that is preempted or switched
 * off is not awaited, one that reboots or is under maintenance is.
 */
export const departureConditions = {
  preemption: 'stopped',
  maintenance: 'rebooting',
  'shutdown-scheduled': 'stopped',
  'reboot-scheduled': 'rebooting',
} as const;
/** More than this in one heartbeat is cut off by the agent, the least bad first. */
export const hostConditionsMax = 100;

/** One GPU or TPU of a host and how it is. */
export const acceleratorSchema = z.object({
  kind: openEnum(['gpu', 'tpu'], 'gpu'),
  /** As the driver numbers them. */
  index: z.number().int(),
  /** The GPU's uuid, the TPU's device (`/dev/accel0`). */
  id: z.string().max(128),
  model: z.string().max(256),
  /** `degraded`: it works, and somebody should look at it. */
  health: openEnum(['ok', 'degraded', 'failed'], 'degraded'),
  /** Why it is not ok, for a person; '' when it is. */
  reason: z.string().max(2048),
  /** What a person does about it; '' when there is nothing to do. */
  action: z.string().max(2048),
  /** utilisation (0…1), memoryUsedBytes, memoryTotalBytes, temperatureCelsius, powerWatts, eccUncorrectable … Absent: not known. */
  metrics: z.record(z.string().max(64), z.number()).default({}),
});
export type Accelerator = z.infer<typeof acceleratorSchema>;
/** More than this in one heartbeat is cut off by the agent. */
export const acceleratorsMax = 128;

/** Whether anything may be recovered on a host now, and what it waits for. Wire form: times in epoch milliseconds, by the agent's clock. */
export const hostGateSchema = z.object({
  state: openEnum(['open', 'waiting'], 'waiting'),
  since: z.number(),
  /** For a person. */
  reason: z.string().max(4096),
  /** When it stops waiting for what can be waived; null: nothing of that kind is awaited. */
  deadlineAt: z.number().nullable(),
  conditions: z
    .array(
      z.object({
        name: z.string().max(300),
        ok: z.boolean(),
        message: z.string().max(4096),
        /** It was waited for up to the deadline, and holds nothing back until it was satisfied once. */
        waived: z.boolean().optional(),
      }),
    )
    .max(100),
});
export type HostGateStatus = z.infer<typeof hostGateSchema>;

export const hostFactsSchema = z.object({
  os: z.string().optional(),
  kernel: z.string().optional(),
  arch: z.string().optional(),
  cpuModel: z.string().optional(),
  cpuCores: z.number().optional(),
  memoryTotalBytes: z.number().optional(),
  engineVersion: z.string().optional(),
  engineApiVersion: z.string().optional(),
  /** The hardware, or what the hypervisor pretends: `Google`, `Google Compute Engine`. */
  manufacturer: z.string().optional(),
  model: z.string().optional(),
  /** `KVM`, `VMware` …; `yes` when it is known to be a virtual machine, but not of whom. */
  virtualization: z.string().optional(),
  /** Whose metadata server is asked: `gcp`, `aws`, `azure`; `none`: nobody's. */
  cloud: z.string().max(32).optional(),
  physicalCores: z.number().optional(),
  /** One name a graphics controller. */
  gpus: z.array(z.string()).optional(),
  /** What there is to watch GPUs with: `nvidia-smi, driver 550.90.07, CUDA 12.4`, `no nvidia-smi on this host`. */
  gpuTools: z.string().optional(),
});
export type HostFacts = z.infer<typeof hostFactsSchema>;
