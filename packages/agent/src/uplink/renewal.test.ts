import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RelightError } from '@relight/shared/errors';
import { ManualClock } from '@relight/shared/manual-clock';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { ReportedCondition } from '../host/condition-diff.ts';
import { joinedFile, readJoined, writeJoined } from './joined.ts';
import { TokenRenewal } from './renewal.ts';

const day = 86_400_000;
const begin = Date.UTC(2026, 0, 1);
const identity = { agentId: 'agent-0001', machineId: 'm', host: 'h' };
const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

let directory: string;
let file: string;
let clock: ManualClock;
let renewal: TokenRenewal;
let renewed = 0;
let asked: string[] = [];
let failure: RelightError | null = null;
let conditions: readonly ReportedCondition[] = [];
const warnings: string[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'relight-renewal-'));
  file = joinedFile(directory);
  clock = new ManualClock(begin);
  [renewed, asked, failure, conditions] = [0, [], null, []];
  warnings.length = 0;
  const token = { token: 'rla_1', tokenId: '1', host: 'h', issuedAt: begin, expiresAt: begin + 90 * day };
  writeJoined(file, { ...token, url: 'https://c:1', fingerprint: 'ab', caFile: null });
  renewal = new TokenRenewal({
    file,
    identity,
    clock,
    logger: { info: () => undefined, warn: (_: unknown, message: string) => void warnings.push(message) } as never,
    onRenewed: () => void (renewed += 1),
    report: (list) => {
      conditions = list;
    },
    post: (trust, path, old, body) => {
      asked.push(`${trust.url} ${path} ${old} ${JSON.stringify(body)}`);
      if (failure !== null) return Promise.reject(failure);
      return Promise.resolve({ token: 'rla_2', tokenId: '2', host: 'h', issuedAt: clock.now(), expiresAt: clock.now() + 90 * day });
    },
  });
  renewal.start();
});
afterEach(() => {
  renewal.stop();
  rmSync(directory, { recursive: true });
});

async function pass(days: number): Promise<void> {
  for (let hour = 0; hour < days * 24; hour += 1) {
    clock.advance(3_600_000);
    await settle();
  }
}

it('renews after two thirds of its life, once, for the owner of the file alone', async () => {
  await pass(59);
  expect(asked).toEqual([]);
  await pass(2);
  expect(asked).toEqual([`https://c:1 /agent/v1/renew rla_1 ${JSON.stringify(identity)}`]);
  expect(readJoined(file)).toMatchObject({ token: 'rla_2', url: 'https://c:1', fingerprint: 'ab' });
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(renewed).toBe(1);
  await pass(30);
  expect(asked).toHaveLength(1);
});

it('tries again while the collector is away, tells of it when time gets short, and is content when it has worked', async () => {
  failure = new RelightError('collector-unreachable', 'nobody there');
  await pass(70);
  expect(asked.length).toBeGreaterThan(100);
  expect(warnings).toEqual(['the token of this host could not be renewed: nobody there']);
  expect(conditions).toEqual([]);
  await pass(6);
  expect(conditions).toMatchObject([
    { name: 'token-expiring', severity: 'warning', reason: expect.stringContaining('nobody there') as string },
  ]);
  failure = null;
  await pass(1);
  expect(conditions).toEqual([]);
  expect(readJoined(file)).toMatchObject({ token: 'rla_2' });
});
