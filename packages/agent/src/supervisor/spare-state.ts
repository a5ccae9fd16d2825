/**
 * What is known of a workload's prepared spare: a second container, mounted and set up, without its process. Plain data; its machine
 * is spare.ts. It lives in the supervisor's clock and shares nothing else with the workload's own state: no failure of the
 * spare can cost the workload anything.
 */
import type { MountCondition } from '../checks/probe.ts';
import type { ContainerFacts } from '../engine/engine.ts';
import type { EmittedEvent } from './event.ts';
import type { Failure, RunHandle, RunRef } from './op.ts';
import { noRestarts, type RestartHistory } from './restart-policy.ts';

/** What a container is made from apart from the configuration, as digests: what is made from something else is outdated. */
export interface SpareInputs {
  /** Id of the image that the name stands for. */
  readonly image: string;
  /** Of the env files' content. */
  readonly secrets: string;
  /** Of the variables that mounts and steps were given. */
  readonly vars: string;
}

/** A spare that is ready, as the supervisor of the workload gets it: all it needs to go on with it. */
export interface SpareOffer {
  readonly containerId: string;
  readonly generation: number;
  /** Host pid of its first process. */
  readonly pid: number;
  readonly startedAt: number;
  readonly mounts: Readonly<Record<string, { readonly run: RunHandle | null }>>;
  readonly setup: readonly string[];
  /** Of its runs, all lower numbers are used. */
  readonly nextRun: number;
  readonly inputs: SpareInputs;
}

export type SpareOp =
  /** Variables anew, and what a container would be made from at this moment. */
  | { readonly kind: 'inputs' }
  | { readonly kind: 'create'; readonly generation: number }
  | { readonly kind: 'start'; readonly containerId: string }
  | { readonly kind: 'mount'; readonly mount: string; readonly run: RunRef }
  | { readonly kind: 'setup'; readonly index: number; readonly run: RunRef; readonly verifyFirst: false }
  | { readonly kind: 'remove'; readonly containerId: string };

export type SpareValue =
  | { readonly kind: 'inputs'; readonly inputs: SpareInputs }
  | { readonly kind: 'create'; readonly containerId: string }
  | { readonly kind: 'start'; readonly pid: number; readonly startedAt: number }
  | { readonly kind: 'mount'; readonly run: RunHandle | null }
  | { readonly kind: 'setup' }
  | { readonly kind: 'remove' };

export type SpareResult = { readonly ok: true; readonly value: SpareValue } | { readonly ok: false; readonly failure: Failure };

/** The workload itself, as far as the spare must know it. */
export interface MainWord {
  /** Ready and left alone: the only time in which something may be done for the spare. */
  readonly quiet: boolean;
  /** Why not, for a person. */
  readonly reason: string;
  readonly containerId: string | null;
  readonly generation: number;
  /** The highest that is used, by whatever container. */
  readonly highest: number;
  /** The container that it could not use, and why. */
  readonly refused: { readonly containerId: string; readonly reason: string } | null;
}

export type SpareEvent =
  | { readonly type: 'tick' }
  | { readonly type: 'main'; readonly main: MainWord }
  | { readonly type: 'observed'; readonly containers: readonly ContainerFacts[]; readonly afterOutage: boolean }
  | { readonly type: 'op-done'; readonly opId: number; readonly result: SpareResult }
  | { readonly type: 'mount-check'; readonly mount: string; readonly condition: MountCondition; readonly message: string };

export type SpareEffect =
  | { readonly kind: 'run'; readonly opId: number; readonly op: SpareOp }
  | { readonly kind: 'emit'; readonly event: EmittedEvent };

export type SparePhase = 'waiting' | 'preparing' | 'ready' | 'back-off';

export interface SpareState {
  readonly version: 1;
  readonly phase: SparePhase;
  readonly since: number;
  readonly reason: string;
  /** The highest that a spare was ever given: none is used twice, because logs are kept by it. */
  readonly generation: number;
  readonly container: {
    readonly id: string;
    readonly generation: number;
    /** 0 before its start. */
    readonly pid: number;
    readonly startedAt: number | null;
  } | null;
  /** What `container` was made from. */
  readonly inputs: SpareInputs | null;
  readonly mounts: Readonly<Record<string, { readonly run: RunHandle | null }>>;
  readonly setup: readonly string[];
  readonly nextRun: number;
  /** Everything is in place. */
  readonly prepared: boolean;
  /** Why the container must go; null while it may stay. */
  readonly condemned: string | null;
  readonly history: RestartHistory;
  readonly backOff: { readonly until: number; readonly reason: string } | null;
  /** The last failure that was told, so that one that repeats is told once. */
  readonly told: string | null;

  // Not durable.
  readonly op: { readonly id: number; readonly op: SpareOp; readonly startedAt: number } | null;
  readonly opCount: number;
  readonly main: MainWord | null;
  /** Has this life of the agent compared its memory with the engine? */
  readonly seen: boolean;
  /** Containers with a spare's name that nobody remembers: their set-up may have been cut off anywhere. */
  readonly strays: readonly string[];
  /** When `inputs` were last compared with the present ones. */
  readonly comparedAt: number;
  /** Of the attempt under way: the present inputs. */
  readonly fresh: SpareInputs | null;
  readonly startedAt: number;
  /** Consecutive failures of its mount checks. */
  readonly mountFailures: Readonly<Record<string, number>>;
}

export function initialSpare(now: number): SpareState {
  return {
    version: 1,
    phase: 'waiting',
    since: now,
    reason: 'the agent has just started',
    generation: 0,
    container: null,
    inputs: null,
    mounts: {},
    setup: [],
    nextRun: 1,
    prepared: false,
    condemned: null,
    history: noRestarts,
    backOff: null,
    told: null,
    ...volatile(now),
  };
}

type VolatileKey = 'op' | 'opCount' | 'main' | 'seen' | 'strays' | 'comparedAt' | 'fresh' | 'startedAt' | 'mountFailures';

const volatile = (now: number): Pick<SpareState, VolatileKey> => ({
  op: null,
  opCount: 0,
  main: null,
  seen: false,
  strays: [],
  comparedAt: 0,
  fresh: null,
  startedAt: now,
  mountFailures: {},
});

/** What is written to disk. */
export type DurableSpare = Omit<SpareState, VolatileKey>;

export function durableSpare(state: SpareState): DurableSpare {
  const { op, opCount, main, seen, strays, comparedAt, fresh, startedAt, mountFailures, ...rest } = state;
  return rest;
}

/**
 * As an earlier life of the agent left it. Only a spare that was ready is worth keeping: where the set-up of another one was cut off,
 * nobody knows.
 * @param outdated why it does not fit the present configuration, or null
 */
export function restoreSpare(saved: DurableSpare, now: number, outdated: string | null): SpareState {
  const { container, prepared, condemned } = saved;
  const cutOff = prepared ? null : 'the agent ended while it was being prepared';
  return {
    ...saved,
    phase: 'waiting',
    since: now,
    reason: 'the agent has just started',
    condemned: container === null ? null : (condemned ?? outdated ?? cutOff),
    prepared: prepared && outdated === null,
    backOff: null,
    ...volatile(now),
  };
}

/** Null: there is none to be taken. */
export function offerOf({ container, inputs, prepared, condemned, mounts, setup, nextRun, seen }: SpareState): SpareOffer | null {
  if (!seen || !prepared || condemned !== null || container === null || container.startedAt === null || inputs === null) return null;
  const { id: containerId, generation, pid, startedAt } = container;
  return { containerId, generation, pid, startedAt, mounts, setup, nextRun, inputs };
}

export const spareName = (name: string): string => `${name}${mark}`;

const mark = '-relight-spare';

/** Label of every spare, and on the containers that were one. */
export const spareLabel = 'relight.spare';

/** A spare in waiting: once it has taken over it has another name. */
export const isSpare = ({ labels, name }: Pick<ContainerFacts, 'labels' | 'name'>): boolean =>
  labels[spareLabel] !== undefined && name.endsWith(mark);
