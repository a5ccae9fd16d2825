/** The resources of the collector's API (`/api/v1`), as JSON: camelCase, ISO-8601 UTC with milliseconds, null for absent. */
import type { AgentMetrics, CatchingUp, OutboxFill } from './agent-metrics.ts';
import type { EventKind, Severity } from './event.ts';
import type { OutputStream } from './log-stream.ts';
import type { HostState, Level, Phase } from './phase.ts';
import type {
  Accelerator,
  HostCondition,
  HostFacts,
  HostGateStatus,
  HostMetrics,
  SpareStatus,
  WaitingConfiguration,
  WorkloadMetrics,
} from './status.ts';

/** 2026-01-01T00:00:00.000Z */
export type IsoTime = string;

/** The last moment of ECMAScript's calendar, and with a minus its first. */
const timeMax = 8.64e15;

/** What another machine says of its clock may be any number: what no calendar has is told as the nearest moment that it has. */
export const isoTime = (ms: number): IsoTime => new Date(Math.min(Math.max(Number.isNaN(ms) ? 0 : ms, -timeMax), timeMax)).toISOString();
export const isoTimeOrNull = (ms: number | null | undefined): IsoTime | null => (ms === null || ms === undefined ? null : isoTime(ms));

export interface ApiHost {
  readonly name: string;
  readonly id: string | null;
  readonly state: HostState;
  readonly stateSince: IsoTime;
  readonly reason: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly bootId: string | null;
  readonly agentVersion: string | null;
  readonly lastSeenAt: IsoTime | null;
  readonly clockSkewMs: number | null;
  readonly metrics: (Omit<HostMetrics, 'at'> & { readonly at: IsoTime }) | null;
  /** Hardware, operating system, engine. Absent from collectors older than this field. */
  readonly facts?: HostFacts;
  /** Its container engine, as its agent sees it. */
  readonly engine?: { readonly state: 'up' | 'down'; readonly since: IsoTime } | null | undefined;
  /** What is wrong with it, the worst first. Absent from collectors older than this field. */
  readonly conditions?: readonly ApiHostCondition[] | undefined;
  /** Its GPUs and TPUs. Absent from collectors older than this field. */
  readonly accelerators?: readonly Accelerator[] | undefined;
  /** Whether anything may be recovered on it now. Null: its agent has not said. Absent from collectors older than this field. */
  readonly gate?: ApiHostGate | null | undefined;
  /** What its agent measured of itself when it was last heard. Null: it has not said. Absent from collectors older than this field. */
  readonly agent?: (Omit<AgentMetrics, 'at'> & { readonly at: IsoTime }) | null | undefined;
  /** How what happens there comes here. Absent from collectors older than this field. */
  readonly delivery?: ApiDelivery | undefined;
  readonly workloads: readonly ApiWorkload[];
}

export type ApiHostGate = Omit<HostGateStatus, 'since' | 'deadlineAt'> & { readonly since: IsoTime; readonly deadlineAt: IsoTime | null };

export interface ApiDelivery {
  /** How far behind the collector is: since what waits longest on the host, or since the host was last heard. Null: nobody knows. */
  readonly lagMs: number | null;
  /** What has waited is being sent, and becomes less. Absent: it is not so, nothing old waits, or the collector is older than this field. */
  readonly catchingUp?: CatchingUp | undefined;
  /** Of the agent's room for what it has not delivered, when it was last heard; null: it has not said. */
  readonly outbox: OutboxFill | null;
  /** Counted holes in the logs of this host that the collector has stored. */
  readonly gaps: {
    readonly count: number;
    /** Of those that say how many. */
    readonly lines: number;
    readonly bytes: number;
    readonly lastAt: IsoTime | null;
    readonly lastReason: string | null;
  };
}

export type ApiHostCondition = Omit<HostCondition, 'since'> & { readonly since: IsoTime };

export interface ApiWorkload {
  readonly host: string;
  readonly name: string;
  readonly phase: Phase;
  readonly phaseSince: IsoTime;
  readonly reason: string;
  readonly stage: string | null;
  readonly stageSince: IsoTime | null;
  readonly attempt: number;
  readonly nextAttemptAt: IsoTime | null;
  readonly generation: number;
  readonly containerId: string | null;
  readonly image: string;
  readonly readyAt: IsoTime | null;
  readonly metrics: WorkloadMetrics | null;
  readonly restarts: { readonly process: number; readonly container: number; readonly host: number };
  readonly lastIncidentId: string | null;
  /** The dependency that it waits for. */
  readonly waitingFor?: string | null | undefined;
  /** Starts of the container by somebody else. */
  readonly foreignRestarts?: number | undefined;
  /** Ways to ready that were begun, and those that came to ready. */
  readonly recoveries?: { readonly attempted: number; readonly succeeded: number } | undefined;
  /** False: nobody tells of it any more (its host is stopped, dead, rebooting or unknown), and all of this is what was last known. */
  readonly watched?: boolean | undefined;
  /** Of the prepared spare; null where none is kept. */
  readonly spare?: { readonly state: SpareStatus['state']; readonly since: IsoTime; readonly reason: string } | null | undefined;
  /** Another configuration that waits until its image is on the host; null where none does. */
  readonly waitingConfiguration?: ApiWaitingConfiguration | null | undefined;
}

export type ApiWaitingConfiguration = Omit<WaitingConfiguration, 'since' | 'nextAttemptAt'> & {
  readonly since: IsoTime;
  readonly nextAttemptAt: IsoTime | null;
};

export const apiWaitingConfiguration = (waiting: WaitingConfiguration | null | undefined): ApiWaitingConfiguration | null =>
  waiting === undefined || waiting === null
    ? null
    : { ...waiting, since: isoTime(waiting.since), nextAttemptAt: isoTimeOrNull(waiting.nextAttemptAt) };

export interface ApiEvent {
  readonly id: string;
  readonly at: IsoTime;
  readonly receivedAt: IsoTime;
  readonly host: string;
  readonly workload: string | null;
  readonly generation: number | null;
  readonly kind: EventKind;
  readonly severity: Severity;
  readonly message: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface ApiLogLine {
  readonly at: IsoTime;
  readonly atApprox?: true;
  readonly receivedAt: IsoTime;
  readonly host: string;
  readonly workload: string;
  readonly generation: number;
  readonly source: string;
  readonly stream: OutputStream;
  /** Which run wrote it; `offset` counts within (generation, source, run). */
  readonly run: string;
  readonly offset: number;
  /** What the line says of itself, as far as that is certain: debug, info, warning, error, critical. */
  readonly level?: 'debug' | 'info' | 'warning' | 'error' | 'critical';
  readonly line: string;
  readonly truncated?: true;
  /** The last state of a progress bar, and how many came before it. */
  readonly collapsed?: number;
  /** Only shown because of a line near it. */
  readonly context?: true;
  /** With context: of its stream, the line before this one was not shown. */
  readonly apart?: true;
  /** Several lines that belong together, with newlines between; absent: one. */
  readonly lines?: number;
  /** It is one of several: what belongs together is longer than an entry may be. Of stored lines only: of live ones the end is not known. */
  readonly part?: 'first' | 'middle' | 'last';
}

export interface ApiLogGap {
  readonly host: string;
  readonly workload: string;
  readonly generation: number;
  readonly source: string;
  readonly run: string;
  readonly receivedAt: IsoTime;
  readonly gap: { readonly from: number; readonly to: number; readonly lines?: number; readonly bytes?: number; readonly reason: string };
}
/** `next` on the last entry of a `limit`ed answer when there is more: pass it as `after`. */
export type ApiLogEntry = (ApiLogLine | ApiLogGap) & { readonly next?: string };

export interface ApiIncident {
  readonly id: string;
  readonly host: string;
  /** Null: the host itself. */
  readonly workload: string | null;
  readonly generation: number | null;
  readonly openedAt: IsoTime;
  readonly closedAt: IsoTime | null;
  /** The root cause, one sentence. */
  readonly cause: string;
  readonly code: string;
  readonly level: Level;
  readonly advice: string;
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly oomKilled: boolean;
  readonly failedAt: IsoTime;
  readonly timeToDetectMs: number;
  readonly timeToRecoverMs: number | null;
  readonly attempts: { readonly process: number; readonly container: number; readonly host: number };
  readonly escalations: number;
  readonly byHand: boolean;
  readonly stages: readonly { readonly stage: string; readonly ms: number }[];
  readonly revision: number;
  readonly timeline: readonly ApiIncidentEntry[];
  /** Entries left out of the middle of the timeline. */
  readonly omitted: number;
  readonly evidence: readonly ApiEvidence[];
}

export interface ApiIncidentEntry {
  readonly at: IsoTime;
  /** Of the event, or `observed`. */
  readonly kind: string;
  readonly severity: Severity;
  readonly message: string;
  readonly generation: number | null;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface ApiEvidence {
  readonly name: string;
  readonly title: string;
  readonly at: IsoTime;
  readonly bytes: number;
  readonly truncatedBytes: number | null;
  readonly error: string | null;
  /** Absent in lists; null when it has not come yet, or there is none. */
  readonly text?: string | null;
}

export interface ApiAlert {
  readonly id: string;
  readonly rule: string;
  readonly severity: Severity;
  readonly host: string;
  readonly workload: string | null;
  readonly state: 'firing' | 'resolved';
  readonly startsAt: IsoTime;
  readonly endsAt: IsoTime | null;
  readonly summary: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Where notifications go. */
export interface ApiSink {
  /** In the configuration, from 1. */
  readonly position: number;
  /** Its address, without what may be a secret of it. */
  readonly name: string;
  readonly type: 'webhook' | 'alertmanager';
  /** `unknown`: nothing was sent to it since the collector started. */
  readonly state: 'ok' | 'failing' | 'unknown';
  readonly failingSince: IsoTime | null;
  /** What the last failure said; null: it does not fail. */
  readonly reason: string | null;
  readonly lastDeliveredAt: IsoTime | null;
  /** Notifications that it has not taken yet. */
  readonly waiting: number;
  readonly waitingSince: IsoTime | null;
}

/** What one sink has answered to a test alert. */
export interface ApiSinkTest {
  readonly position: number;
  readonly name: string;
  readonly type: ApiSink['type'];
  readonly delivered: boolean;
  /** Why not; null: it was taken. */
  readonly reason: string | null;
  readonly tookMs: number;
  /** Nothing was posted to it: it is being tested, or was too often. Null, or absent (an older collector): it was posted to. */
  readonly retryAfterS?: number | null;
}

export interface ApiList<T> {
  readonly items: readonly T[];
  /** Pass as `after` for the next page; null at the end. */
  readonly next: string | null;
}

/** RFC 9457, with our stable code. */
export interface ApiProblem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: string;
  readonly advice: string;
}

export interface ApiToken {
  readonly id: string;
  readonly kind: 'agent' | 'operator' | 'join';
  readonly name: string | null;
  /** Of operators. */
  readonly role: 'view' | 'operate' | 'admin' | null;
  /** The only host that it is for. */
  readonly host: string | null;
  /** The only agent that it is for. */
  readonly agentId: string | null;
  /** Of join tokens. */
  readonly usesLeft: number | null;
  readonly createdAt: IsoTime | null;
  readonly expiresAt: IsoTime | null;
  readonly lastUsedAt: IsoTime | null;
  readonly revokedAt: IsoTime | null;
}

export interface ApiAuditEntry {
  readonly id: string;
  readonly at: IsoTime;
  readonly action: string;
  readonly outcome: 'done' | 'failed' | 'refused';
  readonly target: string | null;
  /** Id of a token, or `local`. */
  readonly actor: string;
  readonly name: string | null;
  readonly role: 'view' | 'operate' | 'admin' | null;
  readonly address: string | null;
  readonly detail: Readonly<Record<string, unknown>>;
}
