/**
 * Tokens: 256 random bits, kept as SHA-256 only. A lookup by hash compares nothing secret byte by byte, and a random
 * token needs no slow hash. Revocation holds from the next look: nothing is cached.
 */
import type { Database } from 'better-sqlite3';
import { createHash, randomBytes } from 'node:crypto';
import type { TokenKind, TokenRecord } from './store.ts';

const columns = 'id, kind, host, created_at AS createdAt, last_used_at AS lastUsedAt, revoked_at AS revokedAt';
const hashOf = (token: string): Buffer => createHash('sha256').update(token).digest();

export function tokenReads(db: Database) {
  const check = db.prepare<[Buffer], TokenRecord>(`SELECT ${columns} FROM tokens WHERE hash = ? AND revoked_at IS NULL`);
  const list = db.prepare<[], TokenRecord>(`SELECT ${columns} FROM tokens ORDER BY created_at, id`);
  const revoked = db.prepare<[], { id: string }>('SELECT id FROM tokens WHERE revoked_at IS NOT NULL');
  return {
    checkToken: (token: string): TokenRecord | null => check.get(hashOf(token)) ?? null,
    tokens: (): TokenRecord[] => list.all(),
    revokedTokenIds: (): Set<string> => new Set(revoked.all().map((row) => row.id)),
  };
}

export function tokenWrites(db: Database) {
  const insert = db.prepare('INSERT INTO tokens (id, hash, kind, host, created_at) VALUES (?, ?, ?, ?, ?)');
  const touch = db.prepare('UPDATE tokens SET last_used_at = ? WHERE id = ?');
  const revoke = db.prepare('UPDATE tokens SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL');
  return {
    /** The only moment at which the token itself exists here. */
    createToken(kind: TokenKind, host: string | null, now: number): { id: string; token: string } {
      const token = `${kind === 'agent' ? 'rla' : 'rlo'}_${randomBytes(32).toString('base64url')}`;
      const id = randomBytes(6).toString('hex');
      insert.run(id, hashOf(token), kind, host, now);
      return { id, token };
    },
    touchToken(id: string, now: number): void {
      touch.run(now, id);
    },
    /** False: unknown, or revoked before. */
    revokeToken: (id: string, now: number): boolean => revoke.run(now, id).changes > 0,
  };
}
