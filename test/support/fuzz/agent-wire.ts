/** A connection to the collector's port that speaks as an agent does, byte by byte. */
import { connect as connectPlain, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { parseMessage, collectorMessageSchema, type CollectorMessage } from '@relight/shared/protocol';
import type { Endpoint } from './collector-target.ts';
import { opcodes, readFrames } from './web-socket-bytes.ts';

export function dial({ port, secure }: Endpoint): Socket {
  const socket = secure ? connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false }) : connectPlain({ port, host: '127.0.0.1' });
  socket.on('error', () => undefined);
  return socket;
}

export const upgradeHead = (headers: Readonly<Record<string, string>>, path = '/agent/v1'): Buffer =>
  Buffer.from(
    `GET ${path} HTTP/1.1\r\n${Object.entries({
      Host: 'collector',
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
      'Sec-WebSocket-Protocol': 'relight.v1',
      ...headers,
    })
      .map(([name, value]) => `${name}: ${value}\r\n`)
      .join('')}\r\n`,
    'latin1',
  );

const answerMs = 60_000;

export class AgentWire {
  readonly #socket: Socket;
  readonly #onMessage: (message: CollectorMessage) => void;
  #rest = Buffer.alloc(0);
  #pongs = 0;
  #closed = false;
  #dismissed = false;
  readonly #waiting = new Set<() => void>();
  /** The head of the answer to the upgrade, and the body of a refusal. */
  answer = '';
  upgraded = false;

  constructor(endpoint: Endpoint, head: Buffer, onMessage: (message: CollectorMessage) => void) {
    this.#onMessage = onMessage;
    this.#socket = dial(endpoint);
    this.#socket.on('data', (bytes: Buffer) => this.#take(bytes));
    this.#socket.once('close', () => {
      this.#closed = true;
      this.#wake();
    });
    this.#socket.write(head);
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** The collector has said that it ends the connection: it answers nothing any more. */
  get dismissed(): boolean {
    return this.#dismissed || this.#closed;
  }

  /** Resolves when the upgrade was accepted, or refused to the end. */
  async opened(): Promise<boolean> {
    await this.#until(() => this.upgraded || this.#closed, 'an answer to the upgrade');
    return this.upgraded;
  }

  /** Resolves when it may be written on. */
  async write(bytes: Buffer): Promise<void> {
    if (this.#closed || this.#socket.write(bytes)) return;
    this.#socket.once('drain', () => this.#wake());
    await this.#until(() => this.#closed || !this.#socket.writableNeedDrain, 'the collector to read');
  }

  get pongs(): number {
    return this.#pongs;
  }

  until(condition: () => boolean, what: string): Promise<void> {
    return this.#until(() => this.#closed || condition(), what);
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #take(bytes: Buffer): void {
    if (!this.upgraded) {
      this.answer += bytes.toString('latin1');
      const end = this.answer.indexOf('\r\n\r\n');
      if (!this.answer.startsWith('HTTP/1.1 101') || end < 0) return;
      this.upgraded = true;
      this.#rest = Buffer.from(this.answer.slice(end + 4), 'latin1');
      this.answer = this.answer.slice(0, end);
    } else this.#rest = Buffer.concat([this.#rest, bytes]);
    const { frames, rest } = readFrames(this.#rest);
    this.#rest = Buffer.from(rest);
    for (const { opcode, payload } of frames) {
      if (opcode === opcodes.pong) this.#pongs += 1;
      else if (opcode === opcodes.close) this.#dismissed = true;
      else if (opcode === opcodes.text) {
        const message = parseMessage(collectorMessageSchema, payload.toString('utf8'));
        if (message !== null) this.#onMessage(message);
      }
    }
    this.#wake();
  }

  #wake(): void {
    for (const check of this.#waiting) check();
  }

  #until(condition: () => boolean, what: string): Promise<void> {
    if (condition()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(check);
        reject(new Error(`waited ${answerMs / 1_000} s for ${what}`));
      }, answerMs);
      const check = (): void => {
        if (!condition()) return;
        clearTimeout(timer);
        this.#waiting.delete(check);
        resolve();
      };
      this.#waiting.add(check);
    });
  }
}
