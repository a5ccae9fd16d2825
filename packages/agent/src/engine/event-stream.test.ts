import { expect, it } from 'vitest';
import { engineEvent, sinceNow } from './event-stream.ts';

const actor = { ID: 'abc', Attributes: { name: 'a', exitCode: '137' } };

it('reads an event of a new engine, which has no status, id and from', () => {
  const message = {
    Type: 'container',
    Action: 'die',
    Actor: actor,
    scope: 'local',
    time: 1_700_000_000,
    timeNano: 1_700_000_000_123_456_768,
  };
  expect(engineEvent(message)).toEqual({
    type: 'container',
    action: 'die',
    id: 'abc',
    attributes: actor.Attributes,
    at: 1_700_000_000_123,
  });
});

it('keeps kinds apart that nobody waits for', () => {
  expect(engineEvent({ Type: 'network', Action: 'connect', Actor: { ID: 'n' }, time: 1 })).toEqual({
    type: 'other',
    action: 'connect',
    id: 'n',
    attributes: {},
    at: 1_000,
  });
});

it('leaves out what is no event', () => {
  expect(engineEvent({ message: 'something' })).toBeNull();
});

it('asks for events from now on, to the millisecond', () => {
  expect(sinceNow(1_700_000_000_007)).toBe('1700000000.007000000');
});
