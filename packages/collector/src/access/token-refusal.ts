import type { TokenRecord } from '../store/store.ts';

/** Why a token opens nothing, for whoever holds it; null: it is valid. Pure. */
export function tokenRefusal(token: Pick<TokenRecord, 'kind' | 'revokedAt' | 'expiresAt' | 'usesLeft'>, now: number): string | null {
  const what = token.kind === 'join' ? 'the join token' : 'the token';
  if (token.revokedAt !== null) return `${what} was revoked at ${new Date(token.revokedAt).toISOString()}`;
  if (token.expiresAt !== null && now >= token.expiresAt) return `${what} expired at ${new Date(token.expiresAt).toISOString()}`;
  if (token.usesLeft !== null && token.usesLeft <= 0) return `${what} has been used up`;
  return null;
}
