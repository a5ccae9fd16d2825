import { frameBytesMax } from '@relight/shared/protocol';
import { ManualClock } from '@relight/shared/manual-clock';
import { EventEmitter } from 'node:events';
import { expect, it } from 'vitest';
import { agentSocket, unreadMax } from './agent-socket.ts';
import { UnreadTelling } from './unread-telling.ts';

/** A connection whose other side has not read so many bytes. */
class Peer extends EventEmitter {
  readonly OPEN = 1;
  readyState: 0 | 1 | 2 | 3 = 1;
  bufferedAmount = 0;
  readonly told: string[] = [];
  send = (text: string): void => void this.told.push(`send ${text}`);
  ping = (): void => void this.told.push('ping');
  close = (code?: number): void => {
    this.readyState = 2;
    this.told.push(`close ${code}`);
  };
  terminate = (): void => {
    this.readyState = 2;
    this.told.push('terminate');
  };
}
function world() {
  const peer = new Peer();
  const note = (what: string) => (): void => void peer.told.push(what);
  const frames = { drop: note('drop'), hold: note('hold'), release: note('release') };
  return { peer, socket: agentSocket(peer as never, frames, note('unread')) };
}

it('ends a connection whose other side does not read, once', () => {
  const { peer, socket } = world();
  peer.bufferedAmount = unreadMax;
  socket.send('a');
  expect(peer.told).toEqual(['send a']);
  peer.bufferedAmount = unreadMax + 1;
  socket.send('b');
  socket.send('c');
  expect(peer.told).toEqual(['send a', 'send b', 'unread', 'drop', 'terminate', 'send c']);
});

it('also one that only asks whether this side lives', () => {
  const { peer } = world();
  peer.bufferedAmount = unreadMax + 1;
  peer.emit('ping');
  expect(peer.told).toEqual(['unread', 'drop', 'terminate']);
});

it('keeps no last words for who has more to read than a welcome', () => {
  const reads = world();
  reads.peer.bufferedAmount = 2 * frameBytesMax;
  reads.socket.close(4400, 'no');
  expect(reads.peer.told).toEqual(['drop', 'close 4400']);
  const deaf = world();
  deaf.peer.bufferedAmount = 2 * frameBytesMax + 1;
  deaf.socket.close(4400, 'no');
  expect(deaf.peer.told).toEqual(['drop', 'terminate']);
});

it('tells of each, once in ten minutes for a host, and counts all', () => {
  const clock = new ManualClock();
  const warnings: string[] = [];
  let counted = 0;
  const telling = new UnreadTelling({ clock, counters: { unread: () => (counted += 1) }, warn: (message) => void warnings.push(message) });
  const ended = (host: string) => telling.ended(host, '10.0.0.1');
  expect(ended('h')).toBe('its agent did not read what it was sent, until 8.0 MiB waited');
  ended('h');
  ended('');
  expect(warnings.map((text) => text.replace(/ was ended.*/, ''))).toEqual([
    'the connection of h at 10.0.0.1',
    'the connection of an agent at 10.0.0.1',
  ]);
  clock.advance(600_000);
  telling.forget();
  ended('h');
  expect([warnings.length, counted]).toEqual([3, 4]);
});
