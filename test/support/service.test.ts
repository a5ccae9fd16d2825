import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { startTicks } from './processes.ts';
import { Service } from './service.ts';
import { waitFor } from './wait.ts';

const directory = mkdtempSync(join(tmpdir(), 'relight-service-'));
afterAll(() => rmSync(directory, { recursive: true }));

function service(script: string, isUp?: () => Promise<boolean>): Service {
  const file = join(directory, `${Math.random()}.mjs`);
  writeFileSync(file, script);
  return new Service({ name: 'sample', args: [file], logFile: `${file}.log`, ...(isUp === undefined ? {} : { isUp }) });
}

test('starts, is frozen and thawed, stops in order, and starts again', async () => {
  const sample = service(
    "process.on('SIGTERM', () => { console.log('bye'); process.exit(0); }); console.log('hello'); setInterval(() => {}, 1e6);",
  );
  await sample.start();
  const pid = sample.pid ?? 0;
  await waitFor(() => sample.logTail().includes('hello'), { what: 'hello' });
  sample.freeze();
  await waitFor(() => / T /.test(readFileSync(`/proc/${pid}/stat`, 'utf8')), { what: 'the stopped state' });
  sample.thaw();
  await sample.stop();
  expect(sample.logTail()).toBe('hello\nbye');
  expect(sample.pid).toBeUndefined();
  await sample.start();
  expect(sample.pid).not.toBe(pid);
  await sample.kill();
  expect(startTicks(pid)).toBeUndefined();
});

test('one that ends before it is up says why', async () => {
  const sample = service("console.error('no disk'); process.exit(3);", () => Promise.resolve(false));
  await expect(sample.start()).rejects.toThrow('sample ended with 3:\nno disk');
});
