import { frameBytesMax, parseMessage, collectorMessageSchema } from '@relight/shared/protocol';
import { expect, test } from 'vitest';
import type { Session } from './session.ts';
import { Watches } from './watches.ts';

const nobody: ReadonlySet<Session> = new Set();

test('what two tails have alike is told once, until both have ended', () => {
  const watches = new Watches();
  const one = watches.add({ workload: 'w' }, nobody);
  const other = watches.add({ host: 'h', workload: 'w' }, nobody);
  watches.add({ host: 'h', workload: 'w', source: 'process' }, nobody);
  watches.add({ host: 'elsewhere', workload: 'v' }, nobody);
  expect(watches.of('h')).toEqual([{ workload: 'w' }, { workload: 'w', source: 'process' }]);
  one.dispose();
  expect(watches.of('h')).toHaveLength(2);
  other.dispose();
  expect(watches.of('h')).toEqual([{ workload: 'w', source: 'process' }]);
});

test('however many and long they are, an agent takes the message; one that is short has room beside long ones', () => {
  const watches = new Watches();
  // Six bytes a character as JSON.
  const long = (index: number): string => `${index}`.padEnd(512, '\u0001');
  for (let index = 0; index < 500; index += 1) watches.add({ workload: long(index) }, nobody);
  watches.add({ workload: 'short' }, nobody);
  const message = JSON.stringify({ type: 'watch', watch: watches.of('h') });
  expect(Buffer.byteLength(message)).toBeLessThan(frameBytesMax / 2);
  expect(parseMessage(collectorMessageSchema, message)).not.toBeNull();
  expect(watches.of('h')).toContainEqual({ workload: 'short' });
  expect(watches.of('h').length).toBeGreaterThan(10);
  const many = new Watches();
  for (let index = 0; index < 1_500; index += 1) many.add({ workload: `w${index}` }, nobody);
  expect(many.of('h')).toHaveLength(1_000);
});
