import { catalogue } from '@relight/shared/errors';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { classify, portOf, retryLimit, type RunKind } from './classify.ts';
import { daemonReasons } from './ray-words.ts';

const told = (kind: RunKind, line: string, exitCode: number | null = 1): string | undefined =>
  classify(kind, ['starting', line, 'Traceback follows', 'bye'], exitCode)?.code;

describe('what the last words of a process mean', () => {
  it.each([
    ['RuntimeError: Version mismatch: The cluster was started with:\n    Ray: 2.9.3', 'version-mismatch'],
    ['requests.exceptions.HTTPError: 401 Client Error: Unauthorized for url', 'auth-failed'],
    ['curl: (22) The requested URL returned error: 401', 'auth-failed'],
    ['wget: server returned error: HTTP/1.1 401 Unauthorized', 'auth-failed'],
    ['curl: (22) The requested URL returned error: 4010', undefined],
    ['grpc_status: UNAUTHENTICATED, message: Invalid or missing authentication token', 'auth-failed'],
    ['PermissionError: token file /etc/ray/auth_token: Permission denied', 'auth-failed'],
    ["OSError: [Errno 98] error while attempting to bind on address ('0.0.0.0', 8265): address already in use", 'address-in-use'],
    ['ConnectionError: Ray is trying to start at 10.0.0.2:6379, but is already running at 10.0.0.1:6379.', 'address-in-use'],
    ["Exception: Can't find a `node_ip_address.json` file from /tmp/ray/session_2026.", 'stale-session'],
    ["RuntimeError: Unable to initialize backend 'tpu': ABORTED: The TPU is already in use by process with pid 4711.", 'tpu-busy'],
    ["open(/dev/vfio/0): Device or resource busy: Device or resource busy; Couldn't open iommu group /dev/vfio/0", 'tpu-busy'],
    ['Failed to initialize TPU system', 'tpu-busy'],
    ['RuntimeError: No accelerator found. Please run on a TPU or GPU.', 'tpu-busy'],
    ['Failed to initialize NVML: Driver/library version mismatch', 'gpu-driver-mismatch'],
    ['Failed to initialize NVML: Unknown Error', 'gpu-lost'],
    ['OSError: [Errno 28] No space left on device: /tmp/ray', 'disk-full'],
    ['ValueError: shapes (3,4) and (5,6) are not aligned', undefined],
    ['epoch 401: loss 0.4', undefined],
  ])('%s', (line, code) => {
    expect(told('process', line)).toBe(code);
  });

  it('nothing when it was killed from outside, or ended well', () => {
    for (const exitCode of [null, 0, 137, 143]) expect(told('process', 'Address already in use', exitCode)).toBeUndefined();
  });

  it('looks far back for accelerators, near the end for words that stand everywhere', () => {
    const after = Array.from({ length: 120 }, (_, n) => `frame ${n}`);
    expect(classify('process', ['Failed to initialize TPU system', ...after], 134)?.code).toBe('tpu-busy');
    expect(classify('process', ['HTTP 401 Unauthorized', ...after], 1)).toBeNull();
  });

  it('takes code, advice and what is worth another try from the catalogue, and a line of bounded length', () => {
    const known = classify('process', [`Version mismatch: The cluster was started with ${'x'.repeat(900)}`], 1);
    expect(known).toMatchObject({
      code: 'version-mismatch',
      level: 'process',
      recoverable: false,
      advice: catalogue['version-mismatch'].advice,
    });
    expect(known?.cause.length).toBeLessThanOrEqual(300);
    expect(classify('setup', ['Driver/library version mismatch'], 1)).toMatchObject({ level: 'host', recoverable: false });
  });
});

describe('whatever is said', () => {
  it('never fails, and names a code of the catalogue or nothing', () => {
    fc.assert(
      fc.property(
        fc.constantFrom<RunKind>('process', 'mount', 'setup'),
        fc.array(fc.string({ unit: 'grapheme' }), { maxLength: 300 }),
        fc.option(fc.integer({ min: 0, max: 255 })),
        (kind, lines, exitCode) => {
          const known = classify(kind, lines, exitCode);
          expect(known === null || known.code in catalogue).toBe(true);
        },
      ),
    );
  });

  it('what is tried once is recoverable by itself: the limit makes an end of it', () => {
    for (const code of Object.keys(retryLimit) as (keyof typeof retryLimit)[]) expect(catalogue[code].recoverable).toBe(true);
  });
});

it.each([
  ["[Errno 98] error while attempting to bind on address ('0.0.0.0', 8265): address already in use", 8265],
  ['bind: Address already in use: 127.0.0.1:6379', 6379],
  ['listen tcp :52365: bind: address already in use', 52_365],
  ['Address already in use', null],
  ['driver failed programming external connectivity on endpoint a (0b07): Bind for 0.0.0.0:8080 failed: port is already allocated', 8080],
  ['Error: listen EADDRINUSE: address already in use 0.0.0.0:3000', 3000],
])('the port of %s', (line, port) => {
  expect(portOf(line)).toBe(port);
});

// A program that prints its data as one line when it ends: while it is judged the whole agent stands still.
it.each(['token ', 'auth file ', '401 ', '-'])('64 KiB of %j on one line are judged in no time', (piece) => {
  const line = piece.repeat(65_536 / piece.length);
  const before = process.cpuUsage();
  for (const kind of ['process', 'mount', 'setup'] as const) expect(classify(kind, [line], 1)).toBeNull();
  expect(daemonReasons([line])).toEqual([]);
  const { user } = process.cpuUsage(before);
  // Microseconds. Where time grows with the square of the length it is some seconds.
  expect(user).toBeLessThan(1_000_000);
});
