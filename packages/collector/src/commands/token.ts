/** `relight-collector token …`: works beside the running service, on a connection of its own. */
import { isoTime, type ApiToken } from '@relight/shared/api';
import { RelightError, errorMessage } from '@relight/shared/errors';
import { hostNameSchema } from '@relight/shared/join';
import { suggest } from '@relight/shared/suggest';
import { parseDurationMs } from '@relight/shared/units';
import { InvalidArgumentError, type Command } from 'commander';
import { joinValidMs, presentToken } from '../api/tokens.ts';
import { expiresSoon } from '../access/token-expiry.ts';
import { tokenRefusal } from '../access/token-refusal.ts';
import { examples } from '../cli/cli.ts';
import { columnsOf } from '../cli/io.ts';
import { sanitize } from '../cli/view/sanitize.ts';
import { table } from '../cli/view/table.ts';
import { roles, tokenKinds, type Role, type TokenKind, type TokenRecord } from '../store/store.ts';
import { existingDataDir, type DataDirFlag } from './data-dir.ts';
import { howReached, joinDocument, joinLine, joinsText, type FoundWay } from './join-line.ts';
import { configBeside, dataDirBeside } from './load-config.ts';
import { withTokens } from './tokens-beside.ts';

interface CreateFlags extends DataDirFlag {
  readonly kind: TokenKind;
  readonly host?: string;
  readonly role?: Role;
  readonly name?: string;
  readonly validFor?: number;
  readonly uses?: number;
  readonly agentTokens?: number;
  readonly url?: string;
  readonly json?: true;
}

export function addToken(program: Command, exitWith: (code: 1) => void): void {
  const token = program.command('token').description('who may report (agents), join (agents to be) and ask (operators)');
  token
    .command('create')
    .summary('print a new token, once; only its hash is stored')
    .description(
      'Prints a new token, once; only its hash is stored. The token alone is on stdout; what is to be said of it (of a join token: the whole line ' +
        'that joins a host) is on stderr.',
    )
    .requiredOption('--kind <kind>', 'agent, join or operator', oneOf(tokenKinds, 'agent, join or operator'))
    .option('--host <name>', 'an agent or join token for this host alone', parseHostName)
    .option('--role <role>', 'what an operator may do: view, operate or admin (default: admin)', oneOf(roles, 'view, operate or admin'))
    .option('--name <text>', 'whose it is, for token list and the audit log')
    .option('--valid-for <duration>', 'like 24h or 90d (default: for ever; 24h for a join token)', parseDuration)
    .option('--uses <count>', 'how many agents may join with it (default: 1)', parseCount)
    .option('--agent-tokens <duration>', 'how long the tokens live that agents get for it; they renew them (default: 90d)', parseDuration)
    .option('--url <url>', 'how hosts reach this collector, for the line that joins them (default: as init was told)', parseUrl)
    .option('--json', 'one JSON document; of a join token with the line as join, and what is to be said beside it as note')
    .option('--data-dir <dir>', 'where the store lives')
    .addHelpText(
      'after',
      examples([
        'relight-collector token create --kind join --uses 10',
        'relight-collector token create --kind operator --role view --name grafana',
      ]),
    )
    .action((flags: CreateFlags) => print(flags, createToken(flags)));
  token
    .command('list')
    .description('all tokens by id; the tokens themselves are not stored')
    .option('--json', 'one JSON document')
    .option('--data-dir <dir>', 'where the store lives')
    .action((flags: DataDirFlag & { json?: true }) => {
      const { tokens, now } = withTokens(existingDataDir(flags), ({ reads, now }) => ({ tokens: reads.tokens(), now }));
      const json = flags.json === true;
      process.stdout.write(json ? `${JSON.stringify({ items: tokens.map(presentToken), next: null })}\n` : listed(tokens, now));
    });
  token
    .command('revoke <id>')
    .description('from now on the token opens nothing, what is connected with it is sent away within a second')
    .option('--data-dir <dir>', 'where the store lives')
    .action((id: string, flags: DataDirFlag) => {
      const revoked = withTokens(existingDataDir(flags), ({ writes, now, audit }) => {
        const ids = writes.revokeToken(id, now);
        if (ids.length > 0) audit('token.revoke', id, { revoked: ids });
        return ids;
      });
      if (revoked.length > 0) return;
      process.stderr.write(`relight-collector: there is no valid token with the id ${id}\nSee relight-collector token list.\n`);
      exitWith(1);
    });
}

/** Stdout has the token and nothing else: scripts read it. */
function print({ kind, role, url, json, dataDir }: CreateFlags, made: ApiToken & { readonly token: string }): void {
  const way = kind === 'join' ? wayHere({ dataDir, url }) : null;
  if (json === true) {
    const join = way === null || 'problem' in way ? {} : joinDocument(way, made.token);
    process.stdout.write(`${JSON.stringify({ ...made, ...join })}\n`);
  } else {
    process.stdout.write(`${made.token}\n`);
    if (way !== null && !('problem' in way)) {
      const guess = way.isGuess ? ' Give --url where hosts reach it by another address.' : '';
      process.stderr.write(
        `Join a host with it, as root on that host (${joinsText(made.usesLeft ?? 1, Date.parse(made.expiresAt ?? ''))}):${guess}\n  ${joinLine(way, made.token)}\n${way.note === null ? '' : `${way.note}\n`}`,
      );
    }
  }
  if (way !== null && 'problem' in way)
    process.stderr.write(`relight-collector: the line that joins a host cannot be said: ${way.problem}\n`);
  if (kind === 'operator' && role === undefined) {
    process.stderr.write(
      `relight-collector: this token may do everything (role admin), for no --role was given: view only reads, operate restarts, pauses and ` +
        `resumes as well.\nIf that is too much: relight-collector token revoke ${made.id}\n`,
    );
  }
}

/** Never fails: the token is made, and must be printed. */
function wayHere({
  dataDir,
  url,
}: {
  readonly dataDir: string | undefined;
  readonly url: string | undefined;
}): FoundWay | { readonly problem: string } {
  try {
    return howReached(configBeside(dataDir === undefined ? {} : { dataDir }), url);
  } catch (thrown) {
    return { problem: errorMessage(thrown) };
  }
}

function createToken(flags: CreateFlags): ApiToken & { readonly token: string } {
  const { kind, host, role, name, validFor, uses, agentTokens, url } = flags;
  const only = (flag: string, given: unknown, right: boolean, whose: string): void => {
    if (given !== undefined && !right) throw new RelightError('usage', `${flag} belongs to ${whose} tokens only`);
  };
  only('--host', host, kind !== 'operator', kind === 'operator' ? 'agent' : 'join');
  only('--role', role, kind === 'operator', 'operator');
  only('--uses', uses, kind === 'join', 'join');
  only('--url', url, kind === 'join', 'join');
  only('--agent-tokens', agentTokens, kind === 'join', 'join');
  const validMs = validFor ?? (kind === 'join' ? joinValidMs : undefined);
  return withTokens(dataDirBeside(flags), ({ reads, writes, now, audit }) => {
    const made = writes.createToken(kind, host ?? null, now, {
      ...(name === undefined ? {} : { name }),
      ...(role === undefined ? {} : { role }),
      ...(validMs === undefined ? {} : { expiresAt: now + validMs }),
      ...(kind === 'join' ? { usesLeft: uses ?? 1 } : {}),
      ...(agentTokens === undefined ? {} : { grantMs: agentTokens }),
    });
    const expiresAt = validMs === undefined ? null : isoTime(now + validMs);
    audit('token.create', made.id, {
      kind,
      role: kind === 'operator' ? (role ?? 'admin') : null,
      host,
      name,
      uses,
      agentTokens,
      expiresAt,
    });
    const record = reads.tokens().find(({ id }) => id === made.id);
    if (record === undefined) throw new RelightError('internal', 'the token that was made is not there');
    return { ...presentToken(record), token: made.token };
  });
}

function oneOf<T extends string>(allowed: readonly T[], words: string): (value: string) => T {
  return (value) => {
    const found = allowed.find((one) => one === value);
    if (found !== undefined) return found;
    const near = suggest(value, allowed);
    throw new InvalidArgumentError(`It is ${words}.${near === undefined ? '' : ` Did you mean ${near}?`}`);
  };
}

function parseUrl(text: string): string {
  if (/^https?:$/.test(URL.parse(text)?.protocol ?? '')) return text;
  throw new InvalidArgumentError('Expected an address such as https://collector.example:7460.');
}

function parseHostName(text: string): string {
  const parsed = hostNameSchema.safeParse(text);
  if (parsed.success) return parsed.data;
  throw new InvalidArgumentError('Expected a host name of letters, digits, dots, dashes and underscores.');
}

export function parseDuration(text: string): number {
  const ms = parseDurationMs(text);
  if (ms === undefined || ms === 0) throw new InvalidArgumentError('Expected a duration with a unit, like 24h or 90d.');
  return ms;
}

export function parseCount(text: string): number {
  if (/^[1-9]\d{0,6}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('Expected a number above zero.');
}

function listed(tokens: readonly TokenRecord[], now: number): string {
  const rows = tokens.map((token) => {
    const { id, kind, name, role, host, createdAt, lastUsedAt, expiresAt, usesLeft } = presentToken(token);
    const refused = tokenRefusal(token, now);
    const life = expiresAt === null ? '' : `, until ${minute(expiresAt)}${expiresSoon(token, now) ? ' (soon)' : ''}`;
    const left = usesLeft === null ? '' : `, ${usesLeft} ${usesLeft === 1 ? 'use' : 'uses'} left`;
    const state = refused ?? `${lastUsedAt === null ? 'never used' : `used ${minute(lastUsedAt)}`}${life}${left}`;
    const whose = [name, role, host ?? (kind === 'operator' ? null : 'any host')].filter((part) => part !== null).join(' ');
    return [id, kind, sanitize(whose), createdAt === null ? '' : minute(createdAt), state].map((text) => ({ text, whole: true }));
  });
  const lines = table({
    headers: ['ID', 'KIND', 'WHOSE', 'CREATED', 'STATE'],
    rows,
    paintHeader: String,
    columns: columnsOf(process.stdout),
  });
  return lines.map((line) => `${line}\n`).join('');
}

/** As much of a time as a person needs, in UTC. */
const minute = (iso: string): string => `${iso.slice(0, 16)}Z`;
