import { expect, test } from 'vitest';
import type { OpKind } from '../supervisor/op.ts';
import { otherHands } from './other-hands.ts';

const id = 'c1';
const killed = (at: number) =>
  ({ type: 'container', action: 'kill', id, attributes: { signal: '9', 'relight.workload': 'w' }, at }) as const;
const during = (kind: OpKind, startedAt: number) => ({ container: { id }, op: { op: { kind }, startedAt } });

test('a signal through the engine while nothing of ours is under way is somebody else', () => {
  expect(otherHands(killed(100), { container: { id }, op: null }, 0)).toMatchObject({
    workload: 'w',
    message: expect.stringContaining('docker kill, SIGKILL') as string,
    data: { hand: true, action: 'kill', containerId: id },
  });
});

test.each(['retire', 'rename', 'create', 'start', 'halt'] as const)('while a container is %sd it is our own hand', (kind) => {
  expect(otherHands(killed(100), during(kind, 100), 0)).toBeNull();
  expect(otherHands(killed(101), during(kind, 100), 0)).toBeNull();
});

test('what the engine tells late of, and what was there before we did anything, is not our own hand', () => {
  expect(otherHands(killed(99), during('rename', 100), 0)).not.toBeNull();
});

test('also where the wall clock was set since the agent began', () => {
  expect(otherHands(killed(3_600_101), during('rename', 100), 3_600_000)).toBeNull();
  expect(otherHands(killed(3_600_099), during('rename', 100), 3_600_000)).not.toBeNull();
  expect(otherHands(killed(-3_599_899), during('rename', 100), -3_600_000)).toBeNull();
});

test("another container, and what is nobody's order", () => {
  expect(otherHands({ ...killed(100), id: 'c2' }, { container: { id }, op: null }, 0)).toBeNull();
  expect(otherHands({ ...killed(100), action: 'die' }, { container: { id }, op: null }, 0)).toBeNull();
});
