import { runChild, type ChildResult } from '@relight/shared/child';
import { systemClock } from '@relight/shared/clock';
import { expect, test } from 'vitest';
import { askPart, type RunChild } from './ask-part.ts';
import type { PartRecord } from './part.ts';

const request = { part: 'store', dataDir: '/srv/relight', tls: null } as const;
const lines = (...records: readonly PartRecord[]): string => records.map((record) => `${JSON.stringify(record)}\n`).join('');
const ended = (more: Partial<ChildResult>): RunChild => {
  const result = { exitCode: 0, signal: null, stdout: '', stderr: '', timedOut: false, spawnError: null, survivor: null, ...more };
  return () => Promise.resolve(result);
};
const whole = lines(
  { name: 'store.json', text: '1' },
  { name: 'audit.json', reason: 'no such table' },
  { name: 'access.json', text: '2' },
  { name: 'check.txt', text: 'relight.db  ' },
  { name: 'check.txt', text: 'ok\n' },
);

test('what was told is in it, what could not be is missing with its reason', async () => {
  expect(await askPart(request, ['relight-collector'], systemClock, ended({ stdout: whole }))).toEqual({
    pieces: [
      { name: 'store.json', text: '1' },
      { name: 'access.json', text: '2' },
      { name: 'check.txt', text: 'relight.db  ok\n' },
    ],
    missing: [{ name: 'audit.json', reason: 'no such table' }],
  });
});

test.each([
  ['cannot be started', { exitCode: null, spawnError: 'EAGAIN' }, 'it cannot be started: EAGAIN'],
  ['is killed', { exitCode: null, signal: 'SIGBUS' as const }, 'it ended with signal SIGBUS'],
  ['fails', { exitCode: 1, stderr: 'out of memory\n  at …' }, 'it ended with code 1: out of memory'],
])('a child that %s costs what it has not told, and no more', async (_what, more, reason) => {
  const stdout = `${lines({ name: 'store.json', text: '1' })}{"name":"audit.js`;
  expect(await askPart(request, ['relight-collector'], systemClock, ended({ ...more, stdout }))).toEqual({
    pieces: [{ name: 'store.json', text: '1' }],
    missing: ['audit.json', 'access.json', 'check.txt'].map((name) => ({ name, reason })),
  });
});

test.each([
  ['in two', '{"name":"audit.json","te{"name":"audit.json","text":"2"}'],
  ['another thing', '"reason"'],
  ['nothing', 'null'],
])('a line that is no record (%s) costs what stood in it', async (_what, line) => {
  const [first = '', , ...others] = whole.split('\n');
  const stdout = [first, line, ...others].join('\n');
  expect(await askPart(request, ['relight-collector'], systemClock, ended({ stdout }))).toEqual({
    pieces: [
      { name: 'store.json', text: '1' },
      { name: 'access.json', text: '2' },
      { name: 'check.txt', text: 'relight.db  ok\n' },
    ],
    missing: [
      { name: 'audit.json', reason: 'a line of what was told cannot be read' },
      { name: 'check.txt', reason: 'perhaps not all of it: a line of what was told cannot be read' },
    ],
  });
});

test('one that hangs is killed at its deadline: it is told how far it came, and of which file', async () => {
  const said = lines(...['store.json', 'audit.json', 'access.json'].map((name) => ({ name, text: '1' })), {
    name: 'check.txt',
    text: 'relight.db  ',
  });
  const sooner: RunChild = (request) => runChild({ ...request, timeoutMs: 300 });
  const { pieces, missing } = await askPart(request, ['sh', '-c', `printf %s '${said}'; exec sleep 600`], systemClock, sooner);
  expect(pieces.at(-1)).toEqual({ name: 'check.txt', text: 'relight.db  ' });
  expect(missing).toEqual([{ name: 'check.txt', reason: 'only the beginning of it: it did not end within 30 s' }]);
});
