/** The look-up is real: /tmp has no such name. What the daemon says of it is given, and the time until it does. */
import { ManualClock } from '@relight/shared/manual-clock';
import { expect, it } from 'vitest';
import type { MountSpec } from '../config/spec.ts';
import { unreachableBucket } from './mount-proof.ts';

const gcsfuse = (implicitDirs: boolean): MountSpec => ({
  name: 'data',
  target: '/tmp',
  timeoutMs: 1_000,
  check: { intervalMs: 1, timeoutMs: 1, failures: 1 },
  type: 'gcsfuse',
  bucket: 'nosuch',
  onlyDir: null,
  implicitDirs,
  options: [],
});
const words = ["Prefetch failed for .: storage: bucket doesn't exist: googleapi: Error 404: Not Found"];

async function look(implicitDirs: boolean, saysAtReading: number): Promise<{ readonly code: string | null; readonly readings: number }> {
  const clock = new ManualClock();
  let readings = 0;
  const output = () => {
    readings += 1;
    // Until the next one. None passes while the look-up goes on: the machine may take long for it.
    setImmediate(() => clock.advance(100));
    return Promise.resolve(readings >= saysAtReading ? words : []);
  };
  const { signal } = new AbortController();
  const known = await unreachableBucket(gcsfuse(implicitDirs), process.pid, output, { clock, signal });
  return { code: known?.code ?? null, readings };
}

it('hears what the daemon says only after it has answered, because its listing is still under way', async () => {
  expect(await look(false, 3)).toEqual({ code: 'bucket-unknown', readings: 3 });
});

it('waits no longer than the answer where looking up a name is a listing', async () => {
  expect(await look(true, 3)).toEqual({ code: null, readings: 1 });
});

it('leaves a daemon that says nothing to its checks', async () => {
  expect(await look(false, Infinity)).toEqual({ code: null, readings: 5 });
});
