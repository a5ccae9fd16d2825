/** The way to one agent over the WebSocket library. What it is sent waits in this process until it reads: no more than one that reads has waiting. */
import { closeReason } from '@relight/shared/close-reason';
import { frameBytesMax } from '@relight/shared/protocol';
import type { WebSocket } from 'ws';
import type { PacedFrames } from './paced-frames.ts';
import type { AgentSocket } from './session.ts';

/**
 * Bytes. Behind the slowest link an honest agent has waiting its welcome (1 MiB at most), the answers to what it has under way (four messages
 * of a kind: some kilobytes), and who tails what: some 4 MB when 500 tails of all hosts begin at once. It sends nothing new before
 * it has read its answers; who sends on without reading would have them kept here without end.
 */
export const unreadMax = 8 * 1024 * 1024;
/** With more waiting than a welcome the last words would not be read for long, and what waits be kept as long. */
const lastWordsBehindMax = 2 * frameBytesMax;

/** @param unread the other side does not read: the connection is ended right after this */
export function agentSocket(
  webSocket: Pick<WebSocket, 'bufferedAmount' | 'readyState' | 'OPEN' | 'send' | 'ping' | 'close' | 'terminate' | 'on'>,
  frames: Pick<PacedFrames, 'drop' | 'hold' | 'release'>,
  unread: () => void,
): AgentSocket {
  const terminate = (): void => {
    frames.drop();
    webSocket.terminate();
  };
  const bound = (): void => {
    if (webSocket.readyState !== webSocket.OPEN || webSocket.bufferedAmount <= unreadMax) return;
    unread();
    terminate();
  };
  // The library has answered it by now.
  webSocket.on('ping', bound);
  return {
    send: (text) => {
      webSocket.send(text);
      bound();
    },
    ping: () => webSocket.ping(),
    close: (code, reason) => {
      if (webSocket.bufferedAmount > lastWordsBehindMax) return terminate();
      frames.drop();
      webSocket.close(code, closeReason(reason));
    },
    terminate,
    pause: () => frames.hold(),
    resume: () => frames.release(),
  };
}
