import { ManualClock } from '@relight/shared/manual-clock';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { askForFacts, type Program } from './facts-child.ts';

/** However long a busy machine takes: the deadline never comes by itself. */
const ask = (program: Program, clock = new ManualClock()) => askForFacts({ program, clock });
const shell = (text: string): Program => ['sh', '-c', text];

test('the agent itself answers with a document of facts, started from its sources', async () => {
  const facts = await ask([process.execPath, join(import.meta.dirname, '../main.ts')]);
  expect(facts.physicalCores).toBeGreaterThan(0);
});

test('unknown fields are left out, as from a newer version in the same place', async () => {
  expect(await ask(shell(`echo '{"model": "m", "colour": "red"}'`))).toEqual({ model: 'm' });
});

test.each([
  ['a child that fails', shell('echo no such library >&2; exit 7'), 'exit code 7: no such library'],
  ['a program that is not there', ['/does/not/exist'] as const, 'ENOENT'],
  ['an answer that is no document', shell('echo {'), 'JSON'],
  ['an answer of another kind', shell('echo "[1]"'), 'expected object'],
])('%s is named', async (_, program, reason) => {
  await expect(ask(program)).rejects.toMatchObject({ code: 'host-facts-unknown', message: expect.stringContaining(reason) });
});

test('a child that hangs is given up after 20 s', async () => {
  const clock = new ManualClock();
  const asked = ask(shell('sleep 1000'), clock);
  clock.advance(20_000);
  clock.advance(1_000);
  await expect(asked).rejects.toMatchObject({ code: 'host-facts-unknown', message: expect.stringContaining('20 s') });
});
