import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { exampleIncident } from '../../../../test/support/incidents.ts';
import { emptyBook } from '../incidents/book.ts';
import { IncidentStore } from '../incidents/store.ts';
import { runCli } from './cli.ts';
import { recordedIo } from './recorded-io.ts';

function stateDirWithTwo(): string {
  const stateDir = mkdtempSync(join(tmpdir(), 'relight-agent-incidents-'));
  const store = new IncidentStore({ stateDir, host: 'tpu-0', warn: () => undefined });
  store.put(exampleIncident({ evidence: [] }));
  store.addEvidence(exampleIncident().id, { name: 'log:process', title: 'last lines', at: 1 }, 'last\u001b[2J words');
  store.put(
    exampleIncident({ id: '20260131-130000-aaaaaa', closedAt: null, timeToRecoverMs: null, cause: 'the mount data died', evidence: [] }),
  );
  store.saveBook(emptyBook);
  return stateDir;
}

async function incidents(stateDir: string, ...args: readonly string[]): Promise<{ code: number; out: string; notes: string }> {
  const io = recordedIo();
  const code = await runCli(['incidents', ...args, '--state-dir', stateDir], io);
  return { code, out: io.out.join(''), notes: io.err.join('\n') };
}

test('what failed here, newest first, with nobody running', async () => {
  const stateDir = stateDirWithTwo();
  const lines = (await incidents(stateDir)).out.trim().split('\n');
  expect(lines).toHaveLength(3);
  expect(lines[1]).toBe('  → Raise the memory limit.');
  expect(lines[0]).toMatch(/^20260131-130000-aaaaaa {2}ray {2}open .* the mount data died$/);
  expect(await incidents(mkdtempSync(join(tmpdir(), 'relight-none-')))).toMatchObject({ code: 0, out: 'no incidents\n' });
  const { items } = JSON.parse((await incidents(stateDir, '--json')).out) as { items: { host: string; id: string }[] };
  expect(items.map(({ host, id }) => `${host} ${id}`)).toEqual(['tpu-0 20260131-130000-aaaaaa', 'tpu-0 20260131-120000-x7k2m9']);
});

test('one by the beginning of its id: its cause first, its evidence harmless', async () => {
  const stateDir = stateDirWithTwo();
  const { code, out } = await incidents(stateDir, '20260131-12');
  expect(code).toBe(0);
  expect(out.split('\n')[2]).toBe(`CAUSE    ${exampleIncident().cause}`);
  expect(out).toContain('last [2J words');
  expect((await incidents(stateDir, '20260131-12', '--evidence', 'log:process')).out).toBe('last [2J words\n');
  expect(JSON.parse((await incidents(stateDir, '20260131-12', '--json')).out)).toMatchObject({
    host: 'tpu-0',
    evidence: [{ text: 'last\u001b[2J words' }],
  });
});

test('what is not there, or is not unambiguous, is said', async () => {
  const stateDir = stateDirWithTwo();
  expect(await incidents(stateDir, 'nope-nope')).toMatchObject({
    code: 1,
    notes: expect.stringContaining('no incident nope-nope') as string,
  });
  expect((await incidents(stateDir, '20260131')).notes).toContain('more than one incident begins with 20260131');
  expect((await incidents(stateDir, '20260131-12', '--evidence', 'x')).notes).toContain('it has: log:process');
});
