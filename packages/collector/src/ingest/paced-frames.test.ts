import { ManualClock } from '@relight/shared/manual-clock';
import { expect, it } from 'vitest';
import { PacedFrames } from './paced-frames.ts';

/** A message costs as many milliseconds as it has bytes. */
function world() {
  const clock = new ManualClock();
  const told: string[] = [];
  const frames = new PacedFrames({
    clock,
    socket: { pause: () => told.push('pause'), resume: () => told.push('resume') },
    handle: (data, binary) => {
      told.push(`${binary ? 'block' : 'message'} ${data.length}`);
      onHandled(data.length);
    },
    late: (data) => told.push(`late ${data.length}`),
    spend: (bytes) => bytes,
  });
  let onHandled = (_: number): void => undefined;
  return {
    clock,
    frames,
    message: (bytes: number) => frames.push(Buffer.alloc(bytes), false),
    block: (bytes: number) => frames.push(Buffer.alloc(bytes), true),
    onHandled: (then: (bytes: number) => void) => (onHandled = then),
    /** Since it was last asked. */
    told: () => told.splice(0),
  };
}

it('reads nothing while a host is behind, and goes on in order', () => {
  const { clock, message, block, told } = world();
  message(0);
  block(1);
  expect(told()).toEqual(['message 0', 'block 1']);
  message(10);
  // They came with it.
  block(2);
  message(20);
  message(0);
  expect(told()).toEqual(['message 10', 'pause']);
  clock.advance(9);
  expect(told()).toEqual([]);
  clock.advance(1);
  expect(told()).toEqual(['block 2', 'message 20', 'pause']);
  clock.advance(20);
  expect(told()).toEqual(['message 0', 'resume']);
});

it('goes on when nobody minds any more: neither the pace, nor whoever holds it', () => {
  const { clock, frames, message, told } = world();
  message(10);
  frames.hold();
  told();
  clock.advance(10);
  expect(told()).toEqual([]);
  frames.release();
  expect(told()).toEqual(['resume']);
  frames.hold();
  message(10);
  told();
  frames.release();
  expect(told()).toEqual([]);
  clock.advance(10);
  expect(told()).toEqual(['resume']);
});

it('an end follows the last frame, however late that is read', () => {
  const { clock, frames, message, told } = world();
  message(10);
  message(0);
  frames.end(() => message(77));
  expect(told()).toEqual(['message 10', 'pause']);
  clock.advance(10);
  expect(told()).toEqual(['message 0', 'message 77', 'pause']);
  const calm = world();
  calm.message(0);
  calm.frames.end(() => calm.block(77));
  expect(calm.told()).toEqual(['message 0', 'block 77']);
});

it('what this side has ended is not read any more, and its end not kept waiting', () => {
  const { clock, frames, message, onHandled, told } = world();
  let ended = 0;
  message(10);
  message(20);
  message(30);
  onHandled((bytes) => {
    if (bytes === 20) frames.drop();
  });
  told();
  clock.advance(10);
  expect(told()).toEqual(['message 20', 'late 30', 'resume', 'resume']);
  message(40);
  frames.end(() => (ended += 1));
  clock.advance(1_000);
  expect([told(), ended, clock.pendingTimers]).toEqual([['late 40'], 1, 0]);
  const leaving = world();
  leaving.message(10);
  leaving.message(20);
  leaving.frames.end(() => (ended += 1));
  leaving.frames.drop();
  expect([leaving.told(), ended, leaving.clock.pendingTimers]).toEqual([['message 10', 'pause', 'late 20'], 2, 0]);
});

it('what this side has ended while it was held is read to its end, where a goodbye may stand', () => {
  const { frames, message, block, told } = world();
  frames.hold();
  frames.drop();
  expect(told()).toEqual(['pause', 'resume']);
  block(1);
  message(2);
  expect(told()).toEqual(['late 2']);
});
