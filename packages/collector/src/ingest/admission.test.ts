import { ManualClock } from '@relight/shared/manual-clock';
import { expect, it } from 'vitest';
import { Admission, type AdmissionLimits, type Place, type TooMany } from './admission.ts';

function world(limits: AdmissionLimits) {
  const clock = new ManualClock();
  const admission = new Admission(limits, clock);
  const ended: string[] = [];
  const admit = (host: string | null, address = '10.0.0.1', name = address): Place | TooMany =>
    admission.admit({ address, token: { host } }, () => void ended.push(name));
  return {
    clock,
    admission,
    /** The names of connections that were to end. */
    ended,
    admit,
    /** How many of so many that come one behind the other, each with its hello, are let in. */
    letIn: (host: string | null, tries: number, address = (_: number) => '10.0.0.1'): number =>
      Array.from({ length: tries }, (_, index) => admit(host, address(index))).filter((place) => {
        if (isPlace(place)) place.done(false);
        return isPlace(place);
      }).length,
  };
}
const isPlace = (admitted: Place | TooMany): admitted is Place => typeof admitted !== 'string';
function done(admitted: Place | TooMany, accepted = false): void {
  if (!isPlace(admitted)) throw new Error(`there are too many ${admitted}`);
  admitted.done(accepted);
}
/** Another IPv6 /64 each. */
const network = (index: number): string => `2001:db8:0:${index.toString(16)}::1`;

it('lets one host in so often and no more, whatever is left for the others; a token for any host is that of many', () => {
  const { clock, admission, admit, letIn } = world({ perSecond: 100, handshakesMax: 1_000 });
  expect(letIn('hostile', 1_000)).toBe(20);
  expect(admit('hostile')).toBe('of-host');
  expect(letIn('honest', 20)).toBe(20);
  expect(letIn(null, 60)).toBe(60);
  clock.advance(3_000);
  admission.forget();
  expect(letIn('hostile', 1_000)).toBe(3);
  clock.advance(60_000);
  admission.forget();
  expect(letIn('hostile', 1_000)).toBe(20);
});

it('lets a host in, however often somebody else dials with its token from elsewhere', () => {
  const { clock, admit, letIn } = world({ perSecond: 200, handshakesMax: 1_000 });
  for (let second = 0; second < 60; second += 1) {
    expect(letIn('h', 50, () => '10.9.9.9')).toBe(second === 0 ? 20 : 1);
    const place = admit('h');
    expect(place).toSatisfy(isPlace);
    done(place);
    clock.advance(1_000);
  }
});

it('lets in so many with the token of one host from all networks together, and its agent from where that was let in last', () => {
  const { clock, admission, admit, letIn } = world({ perSecond: 200, handshakesMax: 1_000 });
  done(admit('h', '10.0.0.1'), true);
  expect(letIn('h', 1_000, network)).toBe(99);
  for (let second = 1; second < 60; second += 1) {
    clock.advance(1_000);
    admission.forget();
    expect(letIn('h', 1_000, network)).toBe(10);
    expect(admit('h', '10.0.0.2')).toBe('of-host');
    done(admit('h', '10.0.0.1'));
    expect(letIn('other', 1, network)).toBe(1);
  }
});

it('of connections of one host that say no hello the oldest ends for the next one, and all others have their places', () => {
  const { clock, ended, admit } = world({ perSecond: 200, handshakesMax: 40 });
  const first = admit('hostile', network(0), 'first');
  for (let index = 1; index < 20; index += 1) admit('hostile', network(index), `${index}`);
  expect(ended).toEqual([]);
  admit('hostile', network(20), '20');
  expect(ended).toEqual(['first']);
  // It is gone, and its place was given away.
  done(first);
  for (let index = 21; index < 100; index += 1) admit('hostile', network(index), `${index}`);
  expect(ended).toHaveLength(80);
  expect(ended.at(-1)).toBe('79');
  clock.advance(1_000);
  for (let index = 0; index < 20; index += 1) expect(admit(`honest ${index}`)).toSatisfy(isPlace);
  expect(admit('one more')).toBe('of-all');
  expect(ended).toHaveLength(80);
});

it('who has said hello is not among those that end', () => {
  const { ended, admit } = world({ perSecond: 200, handshakesMax: 100 });
  done(admit('h', '10.0.0.1', 'the agent'), true);
  for (let index = 0; index < 21; index += 1) admit('h', network(index), `${index}`);
  expect(ended).toEqual(['0']);
});

it('ten thousand agents that come back at once all get in, as fast as there is room for them', () => {
  const { clock, admission, ended, admit } = world({ perSecond: 200, handshakesMax: 500 });
  let waiting = Array.from({ length: 10_000 }, (_, index) => `host ${index}`);
  const rounds: number[] = [];
  while (waiting.length > 0) {
    const answers = waiting.map((host) => admit(host));
    for (const place of answers.filter(isPlace)) place.done(true);
    expect(answers).not.toContain('of-host');
    waiting = waiting.filter((_, index) => answers[index] === 'of-all');
    rounds.push(waiting.length);
    // Each tries again, later each time.
    clock.advance(6_000);
    admission.forget();
  }
  expect(ended).toEqual([]);
  expect(rounds).toEqual(Array.from({ length: 50 }, (_, index) => 9_800 - index * 200));
});

it('lets so many in per second, and so many at a time', () => {
  const { clock, admit } = world({ perSecond: 2, handshakesMax: 3 });
  const first = admit(null);
  expect([first, admit(null), admit(null)].map(isPlace)).toEqual([true, true, false]);
  clock.advance(500);
  expect(admit(null)).toSatisfy(isPlace);
  clock.advance(10_000);
  expect(admit(null)).toBe('of-all');
  done(first);
  done(first);
  expect([admit(null), admit(null)].map(isPlace)).toEqual([true, false]);
});
