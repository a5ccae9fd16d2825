/** `relight-collector token …`: works beside the running service, on a connection of its own. */
import { isoTimeOrNull } from '@relight/shared/api';
import { systemClock } from '@relight/shared/clock';
import { RelightError } from '@relight/shared/errors';
import type { Database } from 'better-sqlite3';
import { InvalidArgumentError, type Command } from 'commander';
import { lockDataDir, openForWriting } from '../store/database.ts';
import { migrate, requireCurrent } from '../store/migrate.ts';
import type { TokenKind, TokenRecord } from '../store/store.ts';
import { tokenReads, tokenWrites } from '../store/token-store.ts';
import { dataDirOf, existingDataDir, type DataDirFlag } from './data-dir.ts';

export function addToken(program: Command, exitWith: (code: 1) => void): void {
  const token = program.command('token').description('who may report (agents) and who may ask (operators)');
  token
    .command('create')
    .description('print a new token, once; only its hash is stored')
    .requiredOption('--kind <kind>', 'agent or operator', parseKind)
    .option('--host <name>', 'an agent token for this host alone')
    .option('--data-dir <dir>', 'where the store lives')
    .action((flags: DataDirFlag & { kind: TokenKind; host?: string }) => {
      if (flags.kind === 'operator' && flags.host !== undefined) throw new RelightError('usage', '--host belongs to agent tokens only');
      const created = withTokens(flags, (db) => tokenWrites(db).createToken(flags.kind, flags.host ?? null, systemClock.now()));
      process.stdout.write(`${created.token}\n`);
    });
  token
    .command('list')
    .description('all tokens by id; the tokens themselves are not stored')
    .option('--json', 'one JSON document')
    .option('--data-dir <dir>', 'where the store lives')
    .action((flags: DataDirFlag & { json?: true }) => {
      const tokens = withTokens(flags, (db) => tokenReads(db).tokens(), 'must-exist');
      process.stdout.write(flags.json === true ? `${JSON.stringify({ items: tokens.map(present), next: null })}\n` : table(tokens));
    });
  token
    .command('revoke <id>')
    .description('from now on the token opens nothing, connected agents that use it are sent away')
    .option('--data-dir <dir>', 'where the store lives')
    .action((id: string, flags: DataDirFlag) => {
      const revoked = withTokens(flags, (db) => tokenWrites(db).revokeToken(id, systemClock.now()), 'must-exist');
      if (revoked) return;
      process.stderr.write(`relight-collector: there is no valid token with the id ${id}\nSee relight-collector token list.\n`);
      exitWith(1);
    });
}

function parseKind(value: string): TokenKind {
  if (value === 'agent' || value === 'operator') return value;
  throw new InvalidArgumentError('It is agent or operator.');
}

/** Brings a new or older database to the present schema first, unless a service runs: then it must be current already. */
function withTokens<T>(flags: DataDirFlag, use: (db: Database) => T, where: 'may-be-new' | 'must-exist' = 'may-be-new'): T {
  const dataDir = where === 'must-exist' ? existingDataDir(flags) : dataDirOf(flags);
  const lock = lockUnlessServed(dataDir);
  try {
    const db = openForWriting(dataDir);
    try {
      if (lock === null) requireCurrent(db);
      else migrate(db, systemClock.now());
      return use(db);
    } finally {
      db.close();
    }
  } finally {
    lock?.release();
  }
}

function lockUnlessServed(dataDir: string): { release(): void } | null {
  try {
    return lockDataDir(dataDir, 0);
  } catch (error) {
    if (error instanceof RelightError && error.code === 'already-running') return null;
    throw error;
  }
}

function present(token: TokenRecord) {
  const { id, kind, host, createdAt, lastUsedAt, revokedAt } = token;
  return {
    id,
    kind,
    host,
    createdAt: isoTimeOrNull(createdAt),
    lastUsedAt: isoTimeOrNull(lastUsedAt),
    revokedAt: isoTimeOrNull(revokedAt),
  };
}

function table(tokens: readonly TokenRecord[]): string {
  const rows = tokens.map(present).map(({ id, kind, host, createdAt, lastUsedAt, revokedAt }) => {
    const state = revokedAt === null ? `last used ${lastUsedAt ?? 'never'}` : `revoked ${revokedAt}`;
    return `${id}  ${kind.padEnd(8)}  ${(host ?? 'any host').padEnd(20)}  created ${createdAt}  ${state}\n`;
  });
  return rows.join('');
}
