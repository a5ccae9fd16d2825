/** Bytes at the port, without any token. */
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:net';
import type { Input } from './campaign.ts';
import type { Endpoint } from './collector-target.ts';
import { dial } from './agent-wire.ts';
import { rawBytes } from './raw-bytes.ts';
import type { Randomness } from './randomness.ts';

/** Who sends half of something and stays keeps a connection for seconds: it is left, as everybody leaves. */
const patienceMs = 60;
const telling = [/node_modules/, /\.mjs\b/, /fastify/i, /node\.js/i, /relight\/\d/i];

export function rawInput(random: Randomness, endpoint: Endpoint): Input {
  const pieces = Array.from({ length: random.chance(0.2) ? 3 : 1 }, () => rawBytes(random));
  // Half of the time to what stands before TLS.
  const below = endpoint.secure && random.chance(0.5);
  return {
    weight: 1,
    what: () => `${below ? 'below TLS: ' : ''}${JSON.stringify(Buffer.concat(pieces).toString('latin1').slice(0, 2_000))}`,
    async run() {
      const socket = below ? connect({ port: endpoint.port, host: '127.0.0.1' }).on('error', () => undefined) : dial(endpoint);
      let answer = '';
      socket.on('data', (bytes: Buffer) => (answer += answer.length < 20_000 ? bytes.toString('latin1') : ''));
      const closed = new Promise((resolve) => socket.once('close', resolve));
      for (const piece of pieces) socket.write(piece);
      await Promise.race([closed, sleep(patienceMs)]);
      socket.destroy();
      if (/^HTTP\/1\.1 5(?!03)/m.test(answer)) return `it answered ${answer.slice(0, 500)}`;
      const told = telling.find((pattern) => pattern.test(answer));
      return told === undefined ? null : `it tells ${String(told)} without a token: ${answer.slice(0, 500)}`;
    },
  };
}
