/**
 * What the supervisor knows of one workload. Plain data; durable except where marked. Times are epoch milliseconds on a
 * clock that never jumps while the agent lives.
 *
 *   facts     container, mounts, setup, process       what is in place; an event corrects them, nothing else does
 *   wishes    replace, stop                            what must go before the way to ready begins
 *   attempt   op, backOff, held, pause, engine         why nothing, or what, is being done now
 */
import type { ErrorCode } from '@relight/shared/errors';
import type { Phase } from '@relight/shared/phase';
import type { Failure, Op, OpKind, RunHandle, RunRef } from './op.ts';
import type { RestartHistory } from './restart-policy.ts';
import type { SpareOffer } from './spare-state.ts';
import { noRestarts } from './restart-policy.ts';

export type ActiveLevel = 'process' | 'container';

/** How far a workload has escalated since it was last stable; a person is what comes after the last one. */
export type Rung = 'process' | 'container-start' | 'container-recreate';

export interface KnownContainer {
  readonly id: string;
  readonly running: boolean;
  /** Frozen by somebody's `docker pause`. */
  readonly frozen: boolean;
  /** Host pid of its first process; 0 when not running. */
  readonly pid: number;
  /** Its present name, when somebody has taken its own from it. */
  readonly renamedTo: string | null;
  /** Who has its own name meanwhile, for a person. */
  readonly nameHolder: string | null;
  /** Tells one start of the same container from the next. Null before the first start. */
  readonly startedAt: number | null;
}

export interface CheckState {
  readonly ok: boolean;
  /** Consecutive failures. */
  readonly failures: number;
  readonly message: string;
}

/** One answer of a check. */
export interface CheckReport {
  readonly list: 'ready' | 'live';
  readonly name: string;
  readonly ok: boolean;
  readonly message: string;
  /** The engine failed and not the check. */
  readonly unanswered?: true;
  /** Whoever would know could not be asked. */
  readonly unknown?: true;
  /** It has failed, and nothing is to be done about it for the moment. */
  readonly reportOnly?: true;
  /** It has failed for good, however often it is asked. */
  readonly certain?: true;
  /** What its failure is called; default: live-failed. */
  readonly code?: ErrorCode;
}

export interface StageTiming {
  readonly stage: string;
  /** The kind of operation, for statistics over many workloads. */
  readonly kind: OpKind | 'verify';
  readonly ms: number;
}

export interface WorkloadState {
  readonly version: 1;
  readonly phase: Phase;
  readonly phaseSince: number;
  readonly reason: string;

  /** Of the present container, or of the last one; 0 before the first. */
  readonly generation: number;
  /** The highest that was ever given to another container, such as a spare. No number is used twice: logs are kept by it. */
  readonly spareGeneration: number;
  readonly container: KnownContainer | null;
  /** Placed mounts by name; `run` null: it was there without a run of ours. */
  readonly mounts: Readonly<Record<string, { readonly run: RunHandle | null }>>;
  /** Names of the steps done since the container's last start. */
  readonly setup: readonly string[];
  /** Names of the steps done in this container before it was started again: verify decides whether they hold. */
  readonly setupEarlier: readonly string[];
  readonly process: RunHandle | null;
  /** Earlier runs of the process, and steps cut off in the middle: whatever of them is alive goes before the next start. */
  readonly leftovers: readonly RunRef[];
  /** Daemons of lost mounts: killed before the mount is placed again. */
  readonly lostMounts: readonly RunRef[];
  /** The next run's number. */
  readonly nextRun: number;

  /** When the present process was started; null without one. */
  readonly processStartedAt: number | null;

  /** The present container must make way for a new one. */
  readonly replace: boolean;
  /** The present container must be stopped and started, with all that it holds. */
  readonly again: boolean;
  /** The process must be stopped: at once, or when the mounts are back (a remount must not wait for a slow stop). */
  readonly stop: 'no' | 'now' | 'after-mounts';

  /** Since when this way to ready is under way, and why; null when nothing has to be done. */
  readonly attempt: {
    readonly startedAt: number;
    readonly cause: string;
    readonly prepared: boolean;
    /** Until when variables and dependencies are good for whatever starts; null: as long as the attempt lasts. */
    readonly freshUntil: number | null;
    /** Since when it stands still, in the middle of the way, for want of a variable or dependency. */
    readonly missingSince: number | null;
    readonly pulled: boolean;
    /** It is one of `recoveries.attempted`. */
    readonly counted: boolean;
    readonly timeline: readonly StageTiming[];
  } | null;
  /** The image was found missing. What is wanted may be another one meanwhile, or be there: asked again before each pull. */
  readonly needsPull: boolean;
  readonly backOff: { readonly until: number; readonly reason: string; readonly waiting: boolean } | null;
  /** `looks`: how often it has been tried since, in vain. */
  readonly held: { readonly failure: Failure; readonly retryAt: number; readonly looks: number } | null;
  /** The dependency or variable that is missing. */
  readonly waitingFor: string | null;
  /** It has run for as long as it may: nothing is started until somebody says so. */
  readonly finished: { readonly at: number; readonly reason: string } | null;
  readonly pause: { readonly since: number; readonly until: number | null; readonly reason: string } | null;
  readonly verifyingSince: number | null;
  /** When it ceased to be ready; null while ready, and before it was ready for the first time. */
  readonly downSince: number | null;
  readonly readyAt: number | null;
  /** Ready without interruption since; null while not. */
  readonly healthySince: number | null;
  readonly history: { readonly process: RestartHistory; readonly container: RestartHistory };
  readonly rung: Rung;
  /** Failures since the last stable run, of those codes that are not tried for ever. */
  readonly tries: Readonly<Record<string, number>>;
  /** What the next start has to put right first. */
  readonly remedy: ErrorCode | null;
  /** Counted failures. Restarts by hand are none. */
  readonly restarts: { readonly process: number; readonly container: number; readonly host: number };
  /** Starts of the container by somebody else. */
  readonly foreignRestarts: number;
  /** Ways to ready that were begun with everything they depend on there, and those that came to their end. */
  readonly recoveries: { readonly attempted: number; readonly succeeded: number };

  // Not durable: known anew after every start of the agent.
  /** The prepared spare, as long as it may be taken. */
  readonly spare: SpareOffer | null;
  /** The last one that could not be taken, and why. */
  readonly spareRefused: { readonly containerId: string; readonly reason: string } | null;
  readonly op: { readonly id: number; readonly op: Op; readonly startedAt: number; readonly cancelled: boolean } | null;
  readonly opCount: number;
  readonly engine: { readonly up: boolean; readonly reason: string; readonly since: number };
  /**
   * A failure that something else would explain: that is asked before anything is counted. `ask`: a process takes its mounts' death
   * for its own, so they come first. `act`: what follows when it explains nothing. `readyAt`: as it was when it failed.
   */
  readonly suspect: {
    readonly failure: Failure;
    readonly level: ActiveLevel;
    readonly ask: 'mounts' | 'dependencies';
    readonly act: 'none' | 'stop' | 'replace';
    readonly readyAt: number | null;
  } | null;
  /** Agents of this fleet, as the collector says; they share what they depend on. */
  readonly fleetSize: number;
  /** The host's gate, as last heard. */
  readonly gate: { readonly open: boolean; readonly reason: string };
  /** The machine is about to go away; nothing is restarted. */
  readonly drain: { readonly reason: string; readonly until: number | null } | null;
  /** The last killing for want of memory. `pending`: what it means for the container is not known yet. */
  readonly oom: { readonly at: number; readonly pid: number | null; readonly message: string; readonly pending: boolean } | null;
  /** Has this life of the agent compared its memory with the container? */
  readonly adopted: boolean;
  /**
   * The process ended with its container apparently dying: the engine's word decides at which level. `since`: its first word to the
   * contrary; `askAt`: when it is asked again, null while it is.
   */
  readonly suspectedDeath: { readonly since: number | null; readonly askAt: number | null; readonly message: string } | null;
  /** An operation inside the container failed; whether the container still runs decides what that means. */
  readonly pendingFailure: { readonly op: Op; readonly failure: Failure } | null;
  /** Checks that failed because the engine did; its next word decides whether that counts. */
  readonly unanswered: readonly CheckReport[];
  readonly ready: Readonly<Record<string, CheckState>>;
  readonly live: Readonly<Record<string, CheckState>>;
  readonly mountChecks: Readonly<Record<string, CheckState>>;
}

export function initialState(now: number): WorkloadState {
  return {
    version: 1,
    phase: 'waiting',
    phaseSince: now,
    reason: 'the agent has just started',
    generation: 0,
    spareGeneration: 0,
    container: null,
    mounts: {},
    setup: [],
    setupEarlier: [],
    process: null,
    leftovers: [],
    lostMounts: [],
    nextRun: 1,
    processStartedAt: null,
    replace: false,
    again: false,
    stop: 'no',
    attempt: null,
    needsPull: false,
    backOff: null,
    held: null,
    waitingFor: null,
    finished: null,
    pause: null,
    verifyingSince: null,
    downSince: null,
    readyAt: null,
    healthySince: null,
    history: { process: noRestarts, container: noRestarts },
    rung: 'process',
    tries: {},
    remedy: null,
    restarts: { process: 0, container: 0, host: 0 },
    foreignRestarts: 0,
    recoveries: { attempted: 0, succeeded: 0 },
    ...volatile(now),
  };
}

type VolatileKey =
  | 'spare'
  | 'spareRefused'
  | 'op'
  | 'opCount'
  | 'engine'
  | 'suspect'
  | 'fleetSize'
  | 'gate'
  | 'drain'
  | 'oom'
  | 'adopted'
  | 'suspectedDeath'
  | 'pendingFailure'
  | 'unanswered'
  | 'ready'
  | 'live'
  | 'mountChecks';

function volatile(now: number): Pick<WorkloadState, VolatileKey> {
  return {
    spare: null,
    spareRefused: null,
    op: null,
    opCount: 0,
    engine: { up: false, reason: 'not asked yet', since: now },
    suspect: null,
    fleetSize: 1,
    gate: { open: true, reason: '' },
    drain: null,
    oom: null,
    adopted: false,
    suspectedDeath: null,
    pendingFailure: null,
    unanswered: [],
    ready: {},
    live: {},
    mountChecks: {},
  };
}

/** A reboot of the machine is nobody's failure: it is counted apart. */
export function afterReboot(state: WorkloadState): WorkloadState {
  return { ...state, restarts: { ...state.restarts, host: state.restarts.host + 1 } };
}

/** What is written to disk. */
export type DurableState = Omit<WorkloadState, VolatileKey>;

export function durable(state: WorkloadState): DurableState {
  const {
    spare,
    spareRefused,
    op,
    opCount,
    engine,
    suspect,
    fleetSize,
    gate,
    drain,
    oom,
    adopted,
    suspectedDeath,
    pendingFailure,
    unanswered,
    ...more
  } = state;
  const { ready, live, mountChecks, ...rest } = more;
  return rest;
}

/**
 * State as an earlier life of the agent left it. Waits are cut to `waitMsMax` from now, in case the wall clock has jumped
 * back in between.
 */
export function restore(saved: DurableState, now: number, waitMsMax: number): WorkloadState {
  const soon = now + waitMsMax;
  return {
    // What an earlier version did not know has its first value.
    ...initialState(now),
    ...saved,
    backOff: saved.backOff === null ? null : { ...saved.backOff, until: Math.min(saved.backOff.until, soon) },
    // Whoever starts the agent anew may have mended what was held.
    held: saved.held === null ? null : { ...saved.held, retryAt: Math.min(saved.held.retryAt, now), looks: 0 },
    healthySince: saved.healthySince === null ? null : Math.min(saved.healthySince, now),
    verifyingSince: saved.verifyingSince === null ? null : now,
    attempt: saved.attempt === null ? null : { ...saved.attempt, startedAt: now, prepared: false, missingSince: null },
    ...volatile(now),
  };
}
