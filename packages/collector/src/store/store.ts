/**
 * What the collector remembers. Writes go to a worker thread that commits them in groups with synchronous=FULL; a promise
 * of a write resolves only after the durable commit. Reads use connections of their own and see every committed write.
 * Implementation: sqlite-store.ts (this side) and writer-worker.ts (the thread). All times are epoch milliseconds.
 */
import type { AgentMetrics, CatchingUp } from '@relight/shared/agent-metrics';
import type { AgentEvent, EventKind, Severity } from '@relight/shared/event';
import type { Block } from '@relight/shared/log-block';
import type { Incident } from '@relight/shared/incident';
import type { OutputStream, SegmentKey } from '@relight/shared/log-stream';
import type { Gap, IncidentEvidence } from '@relight/shared/protocol';
import type { HostState, Level } from '@relight/shared/phase';
import type { SeenCopy } from '../liveness/shared-identity.ts';
import type { LogPart, LogReads } from './logs/port.ts';
import type { Accelerator, HostCondition, HostFacts, HostGateStatus, HostMetrics, WorkloadStatus } from '@relight/shared/status';

/** Everything known of a host that outlives the process. */
export interface HostRecord {
  readonly name: string;
  readonly agentId: string | null;
  readonly machineId: string | null;
  readonly state: HostState;
  readonly stateSince: number;
  readonly reason: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly facts: HostFacts;
  readonly bootId: string | null;
  readonly agentVersion: string | null;
  readonly remoteActions: boolean;
  readonly lastSeenAt: number | null;
  readonly clockSkewMs: number | null;
  readonly metrics: HostMetrics | null;
  readonly workloads: readonly WorkloadStatus[];
  /** What the agent says of its container engine; `since` by this collector's clock. Absent before its first heartbeat. */
  readonly engine?: { readonly state: 'up' | 'down'; readonly since: number } | null;
  /** What was wrong with it at its last heartbeat. Absent in records older than this field. */
  readonly conditions?: readonly HostCondition[];
  /** Its GPUs and TPUs at its last heartbeat. Absent in records older than this field. */
  readonly accelerators?: readonly Accelerator[];
  /** Its gate at its last heartbeat. Null: its agent does not say. Absent in records older than this field. */
  readonly gate?: HostGateStatus | null;
  /** What its agent last measured of itself, and when that came; null: nothing since it was let in. Absent in records older than this field. */
  readonly agent?: (AgentMetrics & { readonly receivedAt: number; readonly catchingUp?: CatchingUp }) | null;
  /** Holes in its logs that were stored. Absent: none so far. */
  readonly gaps?: HostGaps;
  /** Who was refused beside its agent with its machine id (liveness/shared-identity.ts). Absent: nobody so far. */
  readonly copies?: readonly SeenCopy[];
  /** Pre-registered hosts must have arrived by then. */
  readonly expectedBy: number | null;
}

export interface HostGaps {
  readonly count: number;
  readonly lines: number;
  readonly bytes: number;
  readonly lastAt: number;
  readonly lastReason: string;
}

export interface StoredEvent {
  /** Ascending in the order of commit; the API's `id` is its decimal text. */
  readonly id: number;
  readonly at: number;
  readonly receivedAt: number;
  readonly host: string;
  readonly workload: string | null;
  readonly generation: number | null;
  readonly kind: EventKind;
  readonly severity: Severity;
  readonly message: string;
  readonly data: Readonly<Record<string, unknown>>;
}
/** An event that the collector itself makes (host.dead, alert.firing …). */
export type CollectorEvent = Omit<StoredEvent, 'id' | 'receivedAt'>;

export interface EventFilter {
  readonly host?: string;
  readonly workload?: string;
  readonly kinds?: readonly EventKind[];
  readonly severities?: readonly Severity[];
  readonly since?: number;
  readonly until?: number;
  /** Page: events with id > after (ascending), or newest first when `newestFirst` with id < after. */
  readonly after?: number;
  readonly limit: number;
  readonly newestFirst?: boolean;
}

export interface LogFilter {
  readonly hosts?: readonly string[];
  readonly workload?: string;
  readonly source?: string;
  readonly generation?: number;
  readonly since?: number;
  readonly until?: number;
  /** Tokens (token-filter.ts): a block whose filter says that one of them is not in it is left out. Gaps are kept. */
  readonly words?: readonly string[];
}

interface PieceCommon {
  readonly id: number;
  readonly host: string;
  readonly receivedAt: number;
  /** Of which pieces it was merged, in order; the last one has the same id. Absent: it is as it came. */
  readonly parts?: readonly LogPart[];
  /** Its file is sealed: nothing in it changes any more. */
  readonly sealed?: boolean;
}

/** A committed block or gap with the host it belongs to. */
export type StoredLogPiece =
  | (PieceCommon & { readonly kind: 'block'; readonly block: Block })
  | (PieceCommon & { readonly kind: 'gap'; readonly gap: Gap });

export interface StoredLine {
  readonly host: string;
  readonly receivedAt: number;
  readonly segment: SegmentKey;
  readonly offset: number;
  readonly at: number;
  readonly atApprox?: true;
  readonly stream: OutputStream;
  readonly line: string;
  readonly truncated?: true;
}

/** `rewind`: the piece did not begin at the committed offset; nothing was stored, go on from `committed`. */
export interface LogCommit {
  readonly committed: number;
  readonly stored: boolean;
  readonly rewind: boolean;
  /** The piece's id, when it was stored. */
  readonly id?: number;
}

export interface StoredIncident {
  readonly host: string;
  readonly receivedAt: number;
  readonly incident: Incident;
}

export interface IncidentPlace {
  readonly host: string;
  readonly id: string;
  /** Null: of the host itself. */
  readonly workload: string | null;
}

/** What metrics count of an incident. */
export interface IncidentOutcome extends IncidentPlace {
  readonly receivedAt: number;
  readonly code: string;
  readonly openedAt: number;
  readonly closedAt: number | null;
  /** It is over, the workload came back, and no person has acted. */
  readonly alone: boolean;
}

export interface ClosedIncidents {
  readonly closed: readonly StoredIncident[];
  /** There may be more: a place in the store, beyond which nothing is meant. Null: these were the last. */
  readonly rest: number | null;
}

export interface IncidentCommit {
  /** Of the same workload: what it takes the place of, was left open by an agent that has lost its memory, and is closed by this: a few at a time. */
  readonly superseded: readonly StoredIncident[];
}

/** Newest first. `since` and `until`: open at some moment between. */
export interface IncidentFilter {
  readonly host?: string;
  readonly workload?: string;
  readonly codes?: readonly string[];
  readonly levels?: readonly Level[];
  /** Of the worst in its timeline. */
  readonly severities?: readonly Severity[];
  readonly open?: boolean;
  readonly since?: number;
  readonly until?: number;
  /** `HOST/ID` of the last one of the page before; one that is gone gives an empty page. */
  readonly after?: string;
  readonly limit: number;
}

export interface AlertRecord {
  readonly id: string;
  readonly rule: string;
  readonly severity: Severity;
  readonly host: string;
  readonly workload: string | null;
  readonly state: 'firing' | 'resolved';
  readonly startsAt: number;
  readonly endsAt: number | null;
  readonly summary: string;
  readonly labels: Readonly<Record<string, string>>;
  /** The rule's own memory, so that a restart of the collector forgets nothing. */
  readonly data: Readonly<Record<string, unknown>>;
}

/** A notification waits here until its sink has taken it. */
export interface NotificationRecord {
  readonly id: number;
  readonly sink: string;
  readonly body: string;
  readonly createdAt: number;
  readonly attempts: number;
  readonly nextAttemptAt: number;
}

/** `join`: short-lived, good for nothing but to get an agent a token of its own. */
export const tokenKinds = ['agent', 'operator', 'join'] as const;
export type TokenKind = (typeof tokenKinds)[number];
/** What an operator may do; each may do what stands before it, too. */
export const roles = ['view', 'operate', 'admin'] as const;
export type Role = (typeof roles)[number];

export interface TokenRecord {
  readonly id: string;
  readonly kind: TokenKind;
  /** For people. */
  readonly name: string | null;
  /** Of operators. */
  readonly role: Role | null;
  /** Agent and join tokens may be bound to one host name. */
  readonly host: string | null;
  /** Of a token that an agent was given when it joined: the only agent and the only machine that may use it. */
  readonly agentId: string | null;
  readonly machineId: string | null;
  readonly createdAt: number;
  readonly expiresAt: number | null;
  /** Of join tokens: how many agents may still come with it. */
  readonly usesLeft: number | null;
  /** How long the tokens live that agents get for this one. */
  readonly grantMs: number | null;
  readonly lastUsedAt: number | null;
  readonly revokedAt: number | null;
  /** The join token behind it. */
  readonly parent: string | null;
  /** The token that this one takes the place of as soon as it is used. */
  readonly replaces: string | null;
}

/** One thing that somebody did, or was refused. `actor`: the id of a token, or `local` for a command on the collector's machine. */
export interface AuditEntry {
  readonly at: number;
  readonly action: string;
  readonly outcome: 'done' | 'failed' | 'refused';
  readonly target: string | null;
  readonly actor: string;
  readonly name: string | null;
  readonly role: Role | null;
  readonly address: string | null;
  readonly detail: Readonly<Record<string, unknown>>;
}
export interface StoredAuditEntry extends AuditEntry {
  readonly id: number;
}
/** Newest first; `after`: the id of the last one of the page before. */
export interface AuditFilter {
  readonly actor?: string;
  readonly action?: string;
  readonly outcome?: AuditEntry['outcome'];
  readonly target?: string;
  readonly since?: number;
  readonly until?: number;
  readonly after?: number;
  readonly limit: number;
}

export interface Store extends LogReads {
  // hosts
  hosts(): readonly HostRecord[];
  putHost(host: HostRecord): Promise<void>;
  deleteHost(name: string): Promise<boolean>;

  // events
  /** Highest committed sequence of an epoch, 0 for a new one. */
  lastEventSeq(agentId: string, epoch: string): number;
  /** Stores what is new, drops duplicates; all in one transaction. Resolves with the events that were new, with ids. */
  commitEvents(
    agentId: string,
    host: string,
    epoch: string,
    events: readonly AgentEvent[],
    receivedAt: number,
  ): Promise<{ readonly seq: number; readonly stored: readonly StoredEvent[] }>;
  commitOwnEvent(event: CollectorEvent): Promise<StoredEvent>;
  events(filter: EventFilter): readonly StoredEvent[];

  // logs
  commitBlock(agentId: string, host: string, block: Block, receivedAt: number): Promise<LogCommit>;
  commitGap(agentId: string, host: string, gap: Gap, receivedAt: number): Promise<LogCommit>;

  // incidents
  /** Null: this revision, or a later one, is known already. */
  commitIncident(host: string, incident: Incident, receivedAt: number): Promise<IncidentCommit | null>;
  /** Some of this host that are open end now, and are not recovered from. `until`: the `rest` of those before; absent: of all that are open now. */
  closeIncidents(host: string, at: number, until?: number): Promise<ClosedIncidents>;
  /** Removes those that are open, were opened before then, and of which nothing was heard since. Resolves with them. */
  pruneOpenIncidents(before: number): Promise<readonly IncidentPlace[]>;
  /** False: this piece is known already. Its body stays as it came. */
  commitIncidentEvidence(host: string, evidence: IncidentEvidence): Promise<boolean>;
  incidents(filter: IncidentFilter): readonly StoredIncident[];
  /** Of those that are open, or were opened since then: where each is, the oldest first. Cheap, whatever they hold. */
  incidentPositions(openedSince: number): readonly number[];
  /** Of those that are still there. Some hundred at a time: each document is looked into. */
  incidentOutcomes(positions: readonly number[]): readonly IncidentOutcome[];
  /** Those whose id begins so, newest first. */
  incidentsById(prefix: string, limit: number): readonly StoredIncident[];
  /** zstd; null: it has not come, or there is none. */
  incidentEvidence(host: string, id: string, name: string): Buffer | null;

  // alerts and notifications
  alerts(filter: {
    readonly state?: 'firing' | 'resolved';
    readonly host?: string;
    readonly workload?: string;
    /** Those that ended since then, and those of whose end somebody is still to be told (alerts/gathering.ts). */
    readonly endedSince?: number;
    readonly limit: number;
    readonly after?: string;
  }): readonly AlertRecord[];
  /** Alerts and the notifications that announce them, in one transaction. */
  putAlerts(
    alerts: readonly AlertRecord[],
    notifications: readonly { readonly sink: string; readonly body: string }[],
    at: number,
  ): Promise<void>;
  /** In order of id, those whose next attempt is still to come included. `sink`: only of this one. */
  pendingNotifications(limit: number, sink?: string): readonly NotificationRecord[];
  /** How many wait for this sink. */
  waitingNotifications(sink: string): number;
  /** What waits for the sink `from` waits for `to` from now on, and names it so. */
  renameSink(from: string, to: string): Promise<void>;
  notificationDelivered(id: number): Promise<void>;
  notificationFailed(id: number, nextAttemptAt: number): Promise<void>;

  // tokens
  /** Null: unknown, or valid no more. Takes the token itself; only its hash is stored. */
  checkToken(token: string): TokenRecord | null;
  /** Null: it is valid, or nobody knows it. */
  refusedToken(token: string): { readonly token: TokenRecord; readonly reason: string } | null;

  // audit
  appendAudit(entry: AuditEntry): Promise<void>;
  audit(filter: AuditFilter): readonly StoredAuditEntry[];

  /** Removes logs that are too old or too much; resolves with the number of pieces. Cheap when there are none. */
  pruneLogs(limits: { readonly logsBefore: number; readonly logsBytesMax: number }): Promise<number>;
  /** Applies retention to everything once; resolves with what was removed. */
  prune(limits: {
    readonly eventsBefore: number;
    readonly logsBefore: number;
    readonly logsBytesMax: number;
  }): Promise<{ readonly events: number; readonly pieces: number }>;
  close(): Promise<void>;
}
