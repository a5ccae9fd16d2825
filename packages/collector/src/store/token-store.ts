/**
 * Tokens: 256 random bits, kept as SHA-256 only. A lookup by hash compares nothing secret byte by byte, and a random
 * token needs no slow hash. Revocation holds from the next look: nothing is cached.
 */
import type { Database } from 'better-sqlite3';
import { createHash, randomBytes } from 'node:crypto';
import type { JoinRequest } from '@relight/shared/join';
import { sameMachine } from '@relight/shared/machine';
import { tokenRefusal } from '../access/token-refusal.ts';
import type { Role, TokenKind, TokenRecord } from './store.ts';

const columns = `id, kind, name, role, host, agent_id AS agentId, machine_id AS machineId, created_at AS createdAt, expires_at AS expiresAt,
  uses_left AS usesLeft, grant_ms AS grantMs, last_used_at AS lastUsedAt, revoked_at AS revokedAt, parent, replaces`;
const hashOf = (token: string): Buffer => createHash('sha256').update(token).digest();
const prefixes = { agent: 'rla', operator: 'rlo', join: 'rlj' } as const satisfies Record<TokenKind, string>;

export interface NewToken {
  readonly name?: string;
  /** Operators. */
  readonly role?: Role;
  readonly host?: string | null;
  /** Epoch milliseconds. */
  readonly expiresAt?: number;
  /** Join tokens: how many agents may come with it, and how long the tokens live that they get. */
  readonly usesLeft?: number;
  readonly grantMs?: number;
}

/** Made where the answer is written, so that the token itself never travels to another thread. */
export interface FreshToken {
  readonly id: string;
  readonly hash: Buffer;
}

export function freshToken(kind: TokenKind): FreshToken & { readonly token: string } {
  const token = `${prefixes[kind]}_${randomBytes(32).toString('base64url')}`;
  return { id: randomBytes(6).toString('hex'), hash: hashOf(token), token };
}

export function tokenReads(db: Database) {
  const find = db.prepare<[Buffer], TokenRecord>(`SELECT ${columns} FROM tokens WHERE hash = ?`);
  const list = db.prepare<[], TokenRecord>(`SELECT ${columns} FROM tokens ORDER BY created_at, id`);
  const revoked = db.prepare<[], { id: string }>('SELECT id FROM tokens WHERE revoked_at IS NOT NULL');
  const mark = db.prepare<[], { mark: string }>(
    "SELECT count(*) || ' ' || total(revoked_at) AS mark FROM tokens WHERE revoked_at IS NOT NULL",
  );
  return {
    /** Also one that is valid no more: see token-refusal.ts. */
    findToken: (token: string): TokenRecord | null => find.get(hashOf(token)) ?? null,
    tokens: (): TokenRecord[] => list.all(),
    revokedTokenIds: (): Set<string> => new Set(revoked.all().map((row) => row.id)),
    /** Another one than before: something was revoked since. Cheap, for it is asked every second. */
    revocationMark: (): string => mark.get()?.mark ?? '',
  };
}

export function tokenWrites(db: Database) {
  const insert = db.prepare(
    `INSERT INTO tokens (id, hash, kind, name, role, host, agent_id, machine_id, created_at, expires_at, uses_left, grant_ms, parent, replaces)
     VALUES (:id, :hash, :kind, :name, :role, :host, :agentId, :machineId, :createdAt, :expiresAt, :usesLeft, :grantMs, :parent, :replaces)`,
  );
  const byId = db.prepare<[string], TokenRecord>(`SELECT ${columns} FROM tokens WHERE id = ?`);
  const touch = db.prepare('UPDATE tokens SET last_used_at = ? WHERE id = ?');
  const use = db.prepare('UPDATE tokens SET uses_left = uses_left - 1, last_used_at = ? WHERE id = ?');
  const retire = db.prepare<[string, number], { id: string }>(
    `WITH RECURSIVE former(id) AS (
       SELECT replaces FROM tokens WHERE id = ?
       UNION SELECT tokens.replaces FROM tokens JOIN former ON tokens.id = former.id)
     UPDATE tokens SET revoked_at = ? WHERE revoked_at IS NULL AND id IN (SELECT id FROM former) RETURNING id`,
  );
  // By what takes the place of what: clocks are set back, and two tokens may be of one millisecond.
  const newest = db.prepare<JoinRequest, { id: string }>(
    `SELECT id FROM tokens AS one
     WHERE kind = 'agent' AND host = :host AND agent_id = :agentId AND machine_id = :machineId AND revoked_at IS NULL
       AND NOT EXISTS (SELECT 1 FROM tokens AS later WHERE later.replaces = one.id AND later.revoked_at IS NULL)
     ORDER BY created_at DESC LIMIT 1`,
  );
  const revokeAll = db.prepare<[number, string, string], { id: string }>(
    `UPDATE tokens SET revoked_at = ? WHERE revoked_at IS NULL AND (id = ? OR
       (kind, host, agent_id, machine_id) = (SELECT kind, host, agent_id, machine_id FROM tokens WHERE id = ?)) RETURNING id`,
  );
  // The token, what was given for it, and what was given for that. Not what the agent got by joining anew, which replaces an old one, too.
  const line = `WITH RECURSIVE line(id) AS (
       VALUES (:old) UNION SELECT tokens.id FROM tokens JOIN line ON tokens.replaces = line.id WHERE tokens.parent IS :parent)`;
  const revokeHeirs = db.prepare(
    `${line} UPDATE tokens SET revoked_at = :now WHERE revoked_at IS NULL AND id <> :old AND id IN (SELECT id FROM line)`,
  );
  const stayLast = db.prepare(`${line} UPDATE tokens SET replaces = :id WHERE parent IS NOT :parent AND replaces IN (SELECT id FROM line)`);
  const prune = db.prepare('DELETE FROM tokens WHERE revoked_at < ? OR expires_at < ?');
  const blank = { name: null, role: null, host: null, agentId: null, machineId: null, expiresAt: null } as const;
  const none = { ...blank, usesLeft: null, grantMs: null, parent: null, replaces: null } as const;

  return {
    /** The only moment at which the token itself exists here. */
    createToken(kind: TokenKind, host: string | null, now: number, more: NewToken = {}): { id: string; token: string } {
      const { id, hash, token } = freshToken(kind);
      const role = kind === 'operator' ? (more.role ?? 'admin') : null;
      insert.run({ ...none, ...more, id, hash, kind, host, role, createdAt: now });
      return { id, token };
    },
    /**
     * Counting and refusing are one step, so N uses are N agents. Of an agent that has joined before, the new token takes the place of the
     * one that it has, as one that is renewed does: not before it is used, for the answer may be lost, and the agent runs meanwhile.
     */
    grantAgentToken(
      joinId: string,
      { id, hash }: FreshToken,
      agent: JoinRequest,
      now: number,
    ): { expiresAt: number } | { refused: string } {
      const join = byId.get(joinId);
      const refused = join === undefined ? 'the join token is unknown' : tokenRefusal(join, now);
      if (join === undefined || refused !== null) return { refused: refused ?? '' };
      if (join.host !== null && join.host !== agent.host) return { refused: `this join token is for host ${join.host}` };
      use.run(now, joinId);
      const expiresAt = now + (join.grantMs ?? agentTokenMs);
      const replaces = newest.get(agent)?.id ?? null;
      const given = { grantMs: expiresAt - now, createdAt: now, expiresAt, parent: joinId, replaces };
      insert.run({ ...none, ...agent, ...given, id, hash, kind: 'agent' });
      return { expiresAt };
    },
    /**
     * A new token with the bindings of the old one, which stays valid until an agent says hello with the new one: the answer may be
     * lost on its way. Then the next one takes the place of the lost one, so of all that are given for a token one at most is ever good.
     * What the agent got by joining anew since then ends the new one as well: whoever has an old token cannot keep it alive beside that.
     */
    renewAgentToken(oldId: string, { id, hash }: FreshToken, agent: JoinRequest, now: number): { expiresAt: number } | { refused: string } {
      const old = byId.get(oldId);
      const refused = old === undefined ? 'the token is unknown' : tokenRefusal(old, now);
      if (old === undefined || refused !== null) return { refused: refused ?? '' };
      if (old.agentId === null || old.grantMs === null) return { refused: 'this token was not given to one agent, it is not renewed' };
      if (old.agentId !== agent.agentId) return { refused: 'this token was given to another agent' };
      if (old.host !== agent.host) return { refused: `this token is for host ${old.host}` };
      if (!sameMachine(old.machineId ?? '', agent.machineId)) return { refused: 'this token was given to another machine' };
      const expiresAt = now + old.grantMs;
      const { agentId, machineId, host, name, grantMs, parent } = old;
      revokeHeirs.run({ old: oldId, parent, now });
      stayLast.run({ old: oldId, parent, id });
      insert.run({
        ...none,
        agentId,
        machineId,
        host,
        name,
        grantMs,
        parent,
        id,
        hash,
        kind: 'agent',
        createdAt: now,
        expiresAt,
        replaces: oldId,
      });
      return { expiresAt };
    },
    touchToken(id: string, now: number): void {
      touch.run(now, id);
    },
    /**
     * The ids of what was revoked; none: unknown, or revoked before. Of an agent that joined, all tokens that it has as this host on this
     * machine: whoever revokes one means whoever holds it, who may have renewed it a moment ago.
     */
    revokeToken: (id: string, now: number): string[] => revokeAll.all(now, id, id).map((row) => row.id),
    /** What the agent had before this one, which it uses now: what it was renewed from, and what the agent joined with before. Their ids. */
    retireBefore: (usedId: string, now: number): string[] => retire.all(usedId, now).map((row) => row.id),
    /** Those that are valid no more since before. */
    pruneTokens: (before: number): number => prune.run(before, before).changes,
  };
}

/** Of a token that an agent gets for a join token which does not say it. */
const agentTokenMs = 90 * 86_400_000;
