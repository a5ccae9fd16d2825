import { expect, test } from 'vitest';
import { runbookOf } from './runbook.ts';

test.each([
  ['of the whole fleet', { host: '', workload: null }, 'relight status'],
  ['of a host', { host: 'a', workload: null }, 'relight host a'],
  [
    'of a workload',
    { host: 'a', workload: 'w' },
    'relight incidents --host a --workload w; its last lines: relight tail --host a --workload w --previous',
  ],
  [
    'of a name that would be another command',
    { host: 'a', workload: "w'; $(reboot)" },
    String.raw`relight incidents --host a --workload 'w'\''; $(reboot)'; its last lines: relight tail --host a --workload 'w'\''; $(reboot)' --previous`,
  ],
])('an alert %s names the command that shows more', (_, alert, command) => {
  expect(runbookOf(alert)).toBe(command);
});
