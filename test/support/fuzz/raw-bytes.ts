/** Bytes for a port that expects HTTP or TLS. */
import { mutatedBytes, nastyText } from './mutate.ts';
import type { Randomness } from './randomness.ts';

const head = (...lines: readonly string[]): Buffer => Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
const upgrade = (...more: readonly string[]): Buffer =>
  head(
    'GET /agent/v1 HTTP/1.1',
    'Host: a',
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    ...more,
  );

/** The first record of a TLS 1.2 client that has nothing to offer. */
const tlsHello = Buffer.from('160301002f0100002b0303'.padEnd(52 * 2, '0'), 'hex');

const whole: readonly Buffer[] = [
  head('GET /healthz HTTP/1.1', 'Host: a'),
  head('GET /healthz HTTP/1.0'),
  head('GET /api/v1/hosts HTTP/1.1', 'Host: a', 'Authorization: Bearer x'),
  Buffer.concat([head('POST /api/v1/hosts HTTP/1.1', 'Host: a', 'Content-Type: application/json', 'Content-Length: 2'), Buffer.from('{}')]),
  Buffer.concat([head('POST /agent/v1/join HTTP/1.1', 'Host: a', 'Transfer-Encoding: chunked'), Buffer.from('2\r\n{}\r\n0\r\n\r\n')]),
  // Two lengths, or a length and chunks: what proxies and servers have disagreed about.
  Buffer.concat([
    head('POST / HTTP/1.1', 'Host: a', 'Content-Length: 5', 'Transfer-Encoding: chunked'),
    Buffer.from('0\r\n\r\nGET / HTTP/1.1\r\n\r\n'),
  ]),
  head('POST / HTTP/1.1', 'Host: a', 'Content-Length: 1', 'Content-Length: 2'),
  head('POST / HTTP/1.1', 'Host: a', 'Content-Length: -1'),
  head('POST / HTTP/1.1', 'Host: a', 'Content-Length: 99999999999999999999'),
  head('CONNECT 127.0.0.1:22 HTTP/1.1', 'Host: a'),
  head('OPTIONS * HTTP/1.1', 'Host: a'),
  head('GET http://127.0.0.1:22/ HTTP/1.1', 'Host: a'),
  head('PRI * HTTP/2.0', '', 'SM'),
  upgrade(),
  upgrade('Sec-WebSocket-Protocol: relight.v1', 'Authorization: Bearer x'),
  head('GET /api/v1/hosts HTTP/1.1', 'Host: a', 'Connection: Upgrade', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABk'),
  head('GET /agent/v1 HTTP/1.1', 'Host: a', 'Connection: Upgrade', 'Upgrade: websocket'),
  tlsHello,
  Buffer.from('SSH-2.0-OpenSSH_9.2\r\n'),
  Buffer.from([0x16, 0x03, 0x01, 0xff, 0xff]),
];

/** Never with a token that opens anything. */
export function rawBytes(random: Randomness): Buffer {
  const draw = random.next();
  if (draw < 0.1) return random.bytes(random.int(400));
  if (draw < 0.15) return head('GET /healthz HTTP/1.1', ...Array.from({ length: random.int(3_000) }, (_, index) => `X-${index}: 1`));
  if (draw < 0.2) return head(`GET /${'a'.repeat(random.int(40_000))} HTTP/1.1`, 'Host: a');
  if (draw < 0.25) return head('GET / HTTP/1.1', `Host: ${nastyText(random)}`, `X: ${nastyText(random)}`);
  const bytes = random.pick(whole);
  return random.chance(0.3) ? bytes : mutatedBytes(random, bytes);
}
