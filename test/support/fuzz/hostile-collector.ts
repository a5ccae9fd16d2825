/** A collector that answers every agent with what no collector says, on a port of its own. */
import { createServer, type Server, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import type { Hello } from '@relight/shared/protocol';
import { collectorText, welcome } from './collector-messages.ts';
import { mutated, mutatedBytes, toText } from './mutate.ts';
import type { Randomness } from './randomness.ts';
import { acceptOf, frameBytes, opcodes, readFrames } from './web-socket-bytes.ts';

/** Between two messages to one agent: it has other things to do as well. */
const pauseMs = 2;
/** That an agent takes without leaving; then one that is anything. An agent that has left comes back later and later. */
const gentleMax = 400;

export class HostileCollector implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #random: Randomness;
  /** From now on it is as a collector should be. */
  peaceful = false;
  said = 0;
  connections = 0;
  /** Of agents that were welcomed in peace. */
  heartbeats = 0;

  private constructor(random: Randomness) {
    this.#random = random;
    this.#server = createServer((socket) => this.#serve(socket));
  }

  static async listen(random: Randomness): Promise<HostileCollector> {
    const collector = new HostileCollector(random);
    await new Promise<void>((resolve) => collector.#server.listen(0, '127.0.0.1', resolve));
    return collector;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #serve(socket: Socket): void {
    this.connections += 1;
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    let timer: NodeJS.Timeout | null = null;
    socket.once('close', () => {
      this.#sockets.delete(socket);
      if (timer !== null) clearInterval(timer);
    });
    let [bytes, upgraded] = [Buffer.alloc(0), false];
    socket.on('data', (piece: Buffer) => {
      bytes = Buffer.concat([bytes, piece]);
      if (!upgraded) {
        const end = bytes.indexOf('\r\n\r\n');
        if (end < 0) return;
        const key = /sec-websocket-key: *(\S+)/i.exec(bytes.toString('latin1', 0, end))?.[1] ?? '';
        bytes = bytes.subarray(end + 4);
        upgraded = true;
        socket.write(this.#answer(key));
      }
      const { frames, rest } = readFrames(bytes);
      bytes = Buffer.from(rest);
      for (const { opcode, payload } of frames) {
        if (opcode !== opcodes.text) continue;
        const message = JSON.parse(payload.toString('utf8')) as { type: string };
        if (message.type === 'hello') timer = this.#converse(socket, message as Hello);
        if (message.type === 'heartbeat' && this.peaceful) this.heartbeats += 1;
      }
    });
  }

  #answer(key: string): Buffer {
    const lines = [
      'HTTP/1.1 101 Switching Protocols',
      'Upgrade: websocket',
      'Connection: Upgrade',
      `Sec-WebSocket-Accept: ${acceptOf(key)}`,
    ];
    const good = Buffer.from(`${lines.join('\r\n')}\r\nSec-WebSocket-Protocol: relight.v1\r\n\r\n`);
    if (this.peaceful || this.#random.chance(0.8)) return good;
    this.said += 1;
    const refusal = `{"code":"${this.#random.pick(['unauthorized', '__proto__', 'x'])}","detail":[1],"advice":{"a":1}}`;
    return this.#random.chance(0.5)
      ? mutatedBytes(this.#random, good)
      : Buffer.from(
          `HTTP/1.1 ${this.#random.pick(['503', '400', '999', '100'])} X\r\nRetry-After: ${this.#random.pick(['0', '-1', '1e9', 'x'])}\r\nContent-Length: ${refusal.length}\r\n\r\n${refusal}`,
        );
  }

  #converse(socket: Socket, hello: Hello): NodeJS.Timeout | null {
    const random = this.#random;
    const say = (text: string): void => {
      this.said += 1;
      socket.write(frameBytes({ opcode: opcodes.text, payload: Buffer.from(text), masked: false }));
    };
    if (this.peaceful) {
      say(
        toText({
          type: 'welcome',
          protocol: 1,
          sessionId: 'peace',
          heartbeatMs: 200,
          lastEventSeq: 0,
          segments: [],
          watch: [],
          incidents: true,
        }),
      );
      return null;
    }
    const first = welcome(random, hello);
    say(toText(random.chance(0.9) ? first : mutated(random, first)));
    let left = random.int(gentleMax);
    return setInterval(() => {
      if (left > 0 && !this.peaceful) say(collectorText(random, hello, true));
      else if (this.peaceful || random.chance(0.3)) say(toText({ type: 'drain', reconnectAfterMs: 0 }));
      else if (random.chance(0.5)) say(collectorText(random, hello, false));
      else
        socket.write(mutatedBytes(random, frameBytes({ opcode: random.int(16), payload: Buffer.from('{}'), masked: random.chance(0.5) })));
      left -= 1;
    }, pauseMs);
  }
}
