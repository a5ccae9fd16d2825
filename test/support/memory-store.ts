/** A Store in memory, for tests of what stands on the store. It keeps the contract of store.ts, durability apart. */
import type { AgentEvent } from '@relight/shared/event';
import type { Block } from '@relight/shared/log-block';
import type { Incident } from '@relight/shared/incident';
import { segmentId, type SegmentKey } from '@relight/shared/log-stream';
import type { Gap, IncidentEvidence } from '@relight/shared/protocol';
import { gatheredOf } from '../../packages/collector/src/alerts/gathering.ts';
import { outcomeOf } from '../../packages/collector/src/store/incident-store.ts';
import type { LogPage } from '../../packages/collector/src/store/logs/port.ts';
import type {
  IncidentOutcome,
  AlertRecord,
  AuditEntry,
  AuditFilter,
  CollectorEvent,
  EventFilter,
  HostRecord,
  IncidentCommit,
  IncidentFilter,
  LogCommit,
  LogFilter,
  NotificationRecord,
  Role,
  Store,
  StoredAuditEntry,
  StoredEvent,
  StoredIncident,
  StoredLogPiece,
  TokenRecord,
} from '../../packages/collector/src/store/store.ts';

import { tokenRecord } from './token-record.ts';

const segmentOf = (piece: StoredLogPiece): Gap['segment'] => (piece.kind === 'block' ? piece.block.header.segment : piece.gap.segment);

export class MemoryStore implements Store {
  readonly eventRows: StoredEvent[] = [];
  readonly pieceRows: StoredLogPiece[] = [];
  readonly alertRows = new Map<string, AlertRecord>();
  readonly incidentRows = new Map<string, StoredIncident>();
  readonly evidence = new Map<string, Buffer>();
  readonly tokens = new Map<string, TokenRecord>();
  readonly auditRows: StoredAuditEntry[] = [];
  notifications: NotificationRecord[] = [];
  /** Set by a test: the next writes of alerts fail with it. */
  failure: Error | null = null;
  readonly #committed = new Map<string, number>();
  #ids = 0;

  addToken(token: string, kind: TokenRecord['kind'], role: Role = 'admin'): void {
    this.tokens.set(token, tokenRecord({ id: token, kind, role: kind === 'operator' ? role : null }));
  }

  hosts(): readonly HostRecord[] {
    return [];
  }
  putHost(): Promise<void> {
    throw new Error('not part of this fake');
  }
  deleteHost(): Promise<boolean> {
    throw new Error('not part of this fake');
  }

  lastEventSeq(): number {
    return 0;
  }
  async commitEvents(
    _agentId: string,
    host: string,
    _epoch: string,
    events: readonly AgentEvent[],
    receivedAt: number,
  ): Promise<{ seq: number; stored: readonly StoredEvent[] }> {
    const stored = events.map((event) =>
      this.#addEvent({ ...event, host, workload: event.workload ?? null, generation: event.generation ?? null }, receivedAt),
    );
    return { seq: events.at(-1)?.seq ?? 0, stored };
  }
  async commitOwnEvent(event: CollectorEvent): Promise<StoredEvent> {
    return this.#addEvent(event, event.at);
  }
  #addEvent(event: CollectorEvent, receivedAt: number): StoredEvent {
    const { at, host, workload, generation, kind, severity, message, data } = event;
    const stored = { id: (this.#ids += 1), at, receivedAt, host, workload, generation, kind, severity, message, data };
    this.eventRows.push(stored);
    return stored;
  }
  events(filter: EventFilter): readonly StoredEvent[] {
    const rows = this.eventRows.filter(
      (event) =>
        (filter.host === undefined || event.host === filter.host) &&
        (filter.workload === undefined || event.workload === filter.workload) &&
        (filter.kinds === undefined || filter.kinds.includes(event.kind)) &&
        (filter.severities === undefined || filter.severities.includes(event.severity)) &&
        event.at >= (filter.since ?? 0) &&
        event.at <= (filter.until ?? Infinity) &&
        (filter.after === undefined || (filter.newestFirst === true ? event.id < filter.after : event.id > filter.after)),
    );
    return (filter.newestFirst === true ? rows.toReversed() : rows).slice(0, filter.limit);
  }

  committedOffset(agentId: string, segment: SegmentKey): number {
    return this.#committed.get(`${agentId} ${segmentId(segment)}`) ?? 0;
  }
  async commitBlock(agentId: string, host: string, block: Block, receivedAt: number): Promise<LogCommit> {
    return this.#commit(agentId, block.header, (id) => ({ kind: 'block', id, host, receivedAt, block }));
  }
  async commitGap(agentId: string, host: string, gap: Gap, receivedAt: number): Promise<LogCommit> {
    return this.#commit(agentId, gap, (id) => ({ kind: 'gap', id, host, receivedAt, gap }));
  }
  #commit(
    agentId: string,
    { segment, from, to }: { readonly segment: SegmentKey; readonly from: number; readonly to: number },
    piece: (id: number) => StoredLogPiece,
  ): LogCommit {
    const committed = this.committedOffset(agentId, segment);
    if (from !== committed) return { committed, stored: false, rewind: to > committed };
    const stored = piece((this.#ids += 1));
    this.pieceRows.push(stored);
    this.#committed.set(`${agentId} ${segmentId(segment)}`, to);
    return { committed: to, stored: true, rewind: false, id: stored.id };
  }
  /** Nothing here is merged, and no block has a filter. */
  logPieces(filter: LogFilter, page: LogPage): readonly StoredLogPiece[] {
    const rows = this.pieceRows.filter((piece) => {
      const segment = segmentOf(piece);
      const [first, last] = piece.kind === 'block' ? [piece.block.header.firstAt, piece.block.header.lastAt] : [piece.gap.at, piece.gap.at];
      return (
        (filter.hosts === undefined || filter.hosts.includes(piece.host)) &&
        (filter.workload === undefined || segment.workload === filter.workload) &&
        (filter.source === undefined || segment.source === filter.source) &&
        (filter.generation === undefined || segment.generation === filter.generation) &&
        last >= (filter.since ?? 0) &&
        first <= (filter.until ?? Infinity) &&
        piece.id > (page.afterId ?? 0) &&
        piece.id < (page.beforeId ?? Infinity) &&
        piece.id <= (page.upTo ?? Infinity)
      );
    });
    return (page.newestFirst === true ? rows.toReversed() : rows).slice(0, page.limit);
  }

  async commitIncident(host: string, incident: Incident, receivedAt: number): Promise<IncidentCommit | null> {
    const key = `${host}/${incident.id}`;
    if ((this.incidentRows.get(key)?.incident.revision ?? 0) >= incident.revision) return null;
    this.incidentRows.set(key, { host, receivedAt, incident });
    return { superseded: [] };
  }
  async commitIncidentEvidence(host: string, { incident, item, body }: IncidentEvidence): Promise<boolean> {
    this.evidence.set(`${host}/${incident}/${item.name}`, Buffer.from(body, 'base64'));
    return true;
  }
  closeIncidents(): Promise<never> {
    throw new Error('not part of this fake');
  }
  pruneOpenIncidents(): Promise<never> {
    throw new Error('not part of this fake');
  }
  incidents(filter: IncidentFilter): readonly StoredIncident[] {
    const rows = [...this.incidentRows.values()]
      .toSorted((a, b) => b.incident.openedAt - a.incident.openedAt)
      .filter(
        ({ host, incident }) =>
          (filter.host === undefined || host === filter.host) &&
          (filter.workload === undefined || incident.workload === filter.workload) &&
          (filter.open === undefined || (incident.closedAt === null) === filter.open) &&
          (filter.codes === undefined || filter.codes.includes(incident.code)),
      );
    const from = filter.after === undefined ? 0 : rows.findIndex(({ host, incident }) => `${host}/${incident.id}` === filter.after) + 1;
    return rows.slice(from, from + filter.limit);
  }
  incidentPositions(openedSince: number): readonly number[] {
    return [...this.incidentRows.values()].flatMap(({ incident }, position) =>
      incident.closedAt === null || incident.openedAt >= openedSince ? position : [],
    );
  }
  incidentOutcomes(positions: readonly number[]): readonly IncidentOutcome[] {
    const rows = [...this.incidentRows.values()];
    return positions.flatMap((position) => (rows[position] === undefined ? [] : outcomeOf(rows[position])));
  }
  incidentsById(prefix: string, limit: number): readonly StoredIncident[] {
    return [...this.incidentRows.values()].filter(({ incident }) => incident.id.startsWith(prefix)).slice(0, limit);
  }
  incidentEvidence(host: string, id: string, name: string): Buffer | null {
    return this.evidence.get(`${host}/${id}/${name}`) ?? null;
  }

  alerts(filter: {
    state?: 'firing' | 'resolved';
    host?: string;
    workload?: string;
    endedSince?: number;
    limit: number;
    after?: string;
  }): readonly AlertRecord[] {
    const rows = [...this.alertRows.values()]
      .toReversed()
      .filter(
        (alert) =>
          (filter.state === undefined || alert.state === filter.state) &&
          (filter.host === undefined || alert.host === filter.host) &&
          (filter.workload === undefined || alert.workload === filter.workload) &&
          (filter.endedSince === undefined || (alert.endsAt ?? 0) >= filter.endedSince || gatheredOf(alert).since !== null),
      );
    return rows.slice(filter.after === undefined ? 0 : rows.findIndex((alert) => alert.id === filter.after) + 1).slice(0, filter.limit);
  }
  async putAlerts(alerts: readonly AlertRecord[], notifications: readonly { sink: string; body: string }[], at: number): Promise<void> {
    if (this.failure !== null) throw this.failure;
    for (const alert of alerts) this.alertRows.set(alert.id, alert);
    for (const one of notifications) {
      this.notifications.push({ id: (this.#ids += 1), ...one, createdAt: at, attempts: 0, nextAttemptAt: at });
    }
  }
  pendingNotifications(limit: number, sink?: string): readonly NotificationRecord[] {
    return this.notifications.filter((record) => sink === undefined || record.sink === sink).slice(0, limit);
  }
  waitingNotifications(sink: string): number {
    return this.pendingNotifications(Number.POSITIVE_INFINITY, sink).length;
  }
  async renameSink(from: string, to: string): Promise<void> {
    this.notifications = this.notifications.map((record) =>
      record.sink === from ? { ...record, sink: to, body: record.body.replaceAll(JSON.stringify(from), JSON.stringify(to)) } : record,
    );
  }
  async notificationDelivered(id: number): Promise<void> {
    this.notifications = this.notifications.filter((record) => record.id !== id);
  }
  async notificationFailed(id: number, nextAttemptAt: number): Promise<void> {
    this.notifications = this.notifications.map((record) =>
      record.id === id ? { ...record, attempts: record.attempts + 1, nextAttemptAt } : record,
    );
  }

  checkToken(token: string): TokenRecord | null {
    return this.tokens.get(token) ?? null;
  }
  pruneLogs(): Promise<number> {
    throw new Error('not part of this fake');
  }
  refusedToken(): null {
    return null;
  }
  async appendAudit(entry: AuditEntry): Promise<void> {
    this.auditRows.unshift({ ...entry, id: (this.#ids += 1) });
  }
  audit(filter: AuditFilter): readonly StoredAuditEntry[] {
    const same = (wanted: unknown, found: unknown): boolean => wanted === undefined || wanted === found;
    const rows = this.auditRows.filter(
      (row) =>
        same(filter.actor, row.actor) &&
        same(filter.action, row.action) &&
        same(filter.outcome, row.outcome) &&
        same(filter.target, row.target) &&
        row.at >= (filter.since ?? 0) &&
        row.at <= (filter.until ?? Infinity) &&
        row.id < (filter.after ?? Infinity),
    );
    return rows.slice(0, filter.limit);
  }
  prune(): Promise<{ events: number; pieces: number }> {
    throw new Error('not part of this fake');
  }
  async close(): Promise<void> {}
}
