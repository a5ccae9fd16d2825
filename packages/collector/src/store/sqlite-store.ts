/** The store: reads on this thread through a read-only connection, writes through the writing thread. */
import type { Clock } from '@relight/shared/clock';
import { toRelightError, type RelightError } from '@relight/shared/errors';
import type { SegmentKey } from '@relight/shared/log-stream';
import type { Database } from 'better-sqlite3';
import type { JoinRequest } from '@relight/shared/join';
import { tokenRefusal } from '../access/token-refusal.ts';
import { alertReads } from './alert-store.ts';
import { auditReads } from './audit-store.ts';
import { lockDataDir, openForReading, openForWriting } from './database.ts';
import { eventReads } from './events-store.ts';
import { explainFullDisk } from './full-disk.ts';
import { hostReads } from './hosts-store.ts';
import { incidentReads } from './incident-store.ts';
import type { LogDamage, LogFileLimits } from './logs/log-writer.ts';
import { MaintenanceClient } from './logs/maintenance-client.ts';
import type { LogPage } from './logs/port.ts';
import { openLogReader } from './logs/reader.ts';
import { migrate } from './migrate.ts';
import { notificationReads } from './notification-store.ts';
import type { LogFilter, Store, TokenKind, TokenRecord } from './store.ts';
import { tokenReads, type FreshToken, type NewToken } from './token-store.ts';
import { WriterClient } from './writer-client.ts';

export interface StoreOptions {
  readonly dataDir: string;
  readonly clock: Clock;
  /** Told of a failed write that nobody waits for. */
  readonly onBackgroundError?: (error: RelightError) => void;
  /** The writing thread has ended by itself: every write fails from now on. */
  readonly onWriterDeath?: (error: RelightError) => void;
  /** A log file is damaged: what was in it cannot be read, everything else can. */
  readonly onLogDamage?: (damage: LogDamage) => void;
  readonly logFileLimits?: LogFileLimits;
  /** Of takeDataDir; released with the store, or when it cannot be opened. Absent: it is taken here. */
  readonly lock?: DataDirLock;
}

export interface DataDirLock {
  /** More than once does no harm. */
  release(): void;
}

export interface SqliteStore extends Store {
  /** Agents that may not speak for a host, because another one took its name. Forgetting the host forgets them. */
  fencedAgents(): readonly { readonly host: string; readonly agent: string }[];
  /** The last of them now; those that are none of them no longer. */
  fenceAgents(host: string, agentIds: readonly string[], at: number): Promise<void>;
  tokens(): readonly TokenRecord[];
  revokedTokenIds(): ReadonlySet<string>;
  /** Another one than before: something was revoked since. */
  revocationMark(): string;
  createToken(kind: TokenKind, host: string | null, more: NewToken): Promise<{ readonly id: string; readonly token: string }>;
  /** The ids of all that were revoked with it, its own among them; none: there is no valid one. */
  revokeToken(id: string): Promise<readonly string[]>;
  /** All that the agent had before this one, which it uses now. Their ids. */
  retireBefore(usedId: string): Promise<readonly string[]>;
  /** One use of a join token, one token for one agent. */
  grantAgentToken(joinId: string, fresh: FreshToken, agent: JoinRequest): Promise<TokenGrant>;
  renewAgentToken(oldId: string, fresh: FreshToken, agent: JoinRequest): Promise<TokenGrant>;
  /** Settles when the writing thread has answered anything, well or badly, after this was asked; rejects when it has ended. */
  proveWriting(): Promise<void>;
  /** Seals every log file that is no longer written to now, instead of within half a minute. */
  sealLogs(): Promise<void>;
}

export type TokenGrant = { readonly expiresAt: number } | { readonly refused: string };

/**
 * Takes the data directory, brings its database to the present schema and starts the writing thread.
 * @throws RelightError `config-unreadable`, `already-running` or `store-failed`.
 */
export async function openStore(options: StoreOptions): Promise<SqliteStore> {
  const lock = options.lock ?? takeDataDir(options.dataDir);
  const threads = new AsyncDisposableStack();
  try {
    const db = openForWriting(options.dataDir);
    let migrated = (): void => undefined;
    try {
      migrated = migrate(db, options.clock.now());
    } finally {
      db.close();
      migrated();
    }
    const events = {
      onDeath: (error: RelightError) => options.onWriterDeath?.(error),
      onLogDamage: (damage: LogDamage) => options.onLogDamage?.(damage),
    };
    const writer = await WriterClient.start(options.dataDir, events, options.logFileLimits);
    threads.defer(() => writer.close());
    const maintenance = new MaintenanceClient(options.dataDir, {
      onDamage: events.onLogDamage,
      onError: (error) => options.onBackgroundError?.(error),
    });
    threads.defer(() => maintenance.close());
    return createStore(options, openForReading(options.dataDir), { writer, maintenance }, lock);
  } catch (error) {
    await threads.disposeAsync();
    lock.release();
    throw explainFullDisk(error, options.dataDir);
  }
}

/**
 * For this process alone. On a full disk even the lock may be what there is no room for.
 * @throws RelightError of lockDataDir.
 */
export function takeDataDir(dataDir: string): DataDirLock {
  try {
    return lockDataDir(dataDir);
  } catch (error) {
    throw explainFullDisk(error, dataDir);
  }
}

interface Threads {
  readonly writer: WriterClient;
  readonly maintenance: MaintenanceClient;
}

function createStore(options: StoreOptions, db: Database, { writer, maintenance }: Threads, lock: DataDirLock): SqliteStore {
  const { clock } = options;
  const logs = openLogReader(options.dataDir, { onDamage: (file, { message }) => options.onLogDamage?.({ file, message }) });
  const reads = {
    ...hostReads(db),
    ...eventReads(db),
    committedOffset: (agentId: string, segment: SegmentKey) => logs.committedOffset(agentId, segment),
    logPieces: (filter: LogFilter, page: LogPage) => logs.logPieces(filter, page),
    ...incidentReads(db),
    ...alertReads(db),
    ...notificationReads(db),
    ...tokenReads(db),
    ...auditReads(db),
  };
  const touch = tokenToucher(options, writer);
  return {
    ...reads,
    putHost: (host) => writer.call('putHost', [host.name, JSON.stringify(host)]),
    deleteHost: (name) => writer.call('deleteHost', [name]),
    fenceAgents: (host, agentIds, at) => writer.call('fenceAgents', [host, agentIds, at]),
    commitEvents: (...args) => writer.call('commitEvents', args),
    commitOwnEvent: (event) => writer.call('commitOwnEvent', [event, clock.now()]),
    commitBlock(agentId, host, { header, body }, receivedAt) {
      // The body is a window into a larger buffer of the socket; cloning it would copy all of that.
      const own = Uint8Array.from(body);
      return writer.call('commitBlock', [agentId, host, { header, body: own }, receivedAt], [own.buffer]);
    },
    commitGap: (...args) => writer.call('commitGap', args),
    commitIncident: (...args) => writer.call('commitIncident', args),
    closeIncidents: (...args) => writer.call('closeIncidents', args),
    pruneOpenIncidents: (before) => writer.call('pruneOpenIncidents', [before]),
    commitIncidentEvidence: (host, { incident, item, body }) =>
      writer.call('commitIncidentEvidence', [{ incident, item }, host, Buffer.from(body, 'base64')]),
    putAlerts: (...args) => writer.call('putAlerts', args),
    renameSink: (from, to) => writer.call('renameSink', [from, to]),
    notificationDelivered: (id) => writer.call('notificationDelivered', [id]),
    notificationFailed: (id, nextAttemptAt) => writer.call('notificationFailed', [id, nextAttemptAt]),
    checkToken(token) {
      const record = reads.findToken(token);
      if (record === null || tokenRefusal(record, clock.now()) !== null) return null;
      touch(record);
      return record;
    },
    async pruneLogs(limits) {
      for (let removed = 0; ;) {
        const pieces = await writer.call('pruneLogs', [limits]);
        if (pieces === 0) return removed;
        removed += pieces;
      }
    },
    refusedToken(token) {
      const record = reads.findToken(token);
      const reason = record === null ? null : tokenRefusal(record, clock.now());
      return record === null || reason === null ? null : { token: record, reason };
    },
    createToken: (kind, host, more) => writer.call('createToken', [kind, host, clock.now(), more]),
    revokeToken: (id) => writer.call('revokeToken', [id, clock.now()]),
    retireBefore: (usedId) => writer.call('retireBefore', [usedId, clock.now()]),
    grantAgentToken: (joinId, { id, hash }, agent) => writer.call('grantAgentToken', [joinId, { id, hash }, agent, clock.now()]),
    renewAgentToken: (oldId, { id, hash }, agent) => writer.call('renewAgentToken', [oldId, { id, hash }, agent, clock.now()]),
    appendAudit: (entry) => writer.call('appendAudit', [entry]),
    async prune(limits) {
      const removed = { events: 0, pieces: 0 };
      for (;;) {
        const events = await writer.call('pruneEvents', [limits]);
        const pieces = await writer.call('pruneLogs', [limits]);
        removed.events += events;
        removed.pieces += pieces;
        if (events + pieces === 0) break;
      }
      const rest = [writer.call('pruneRest', [limits]), writer.call('pruneLogMarks', [limits])];
      // Who is refused is told why for a while; what was done is kept as long as what happened.
      await Promise.all([
        ...rest,
        writer.call('pruneTokens', [clock.now() - deadTokensMs]),
        writer.call('pruneAudit', [limits.eventsBefore]),
      ]);
      return removed;
    },
    proveWriting: () => writer.progress(),
    sealLogs: () => maintenance.seal(),
    async close() {
      await maintenance.close();
      // The last to close a file takes its write-ahead log away, and one that only reads cannot.
      logs.close();
      await writer.close();
      logs.close();
      db.close();
      lock.release();
    },
  };
}

/** How long tokens are kept that are valid no more. */
const deadTokensMs = 30 * 86_400_000;

/** `lastUsedAt` is for people: a minute is exact enough. */
const tokenTouchMs = 60_000;

function tokenToucher({ clock, onBackgroundError }: StoreOptions, writer: WriterClient): (token: TokenRecord) => void {
  const touched = new Map<string, number>();
  return ({ id, lastUsedAt }) => {
    const now = clock.now();
    if (now - (touched.get(id) ?? lastUsedAt ?? 0) < tokenTouchMs) return;
    touched.set(id, now);
    writer.call('touchToken', [id, now]).catch((error: unknown) => onBackgroundError?.(toRelightError(error)));
  };
}
