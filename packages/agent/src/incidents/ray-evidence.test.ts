import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { rayEvidence } from './ray-evidence.ts';

function world(said: string, logs = 'raylet: gone\n') {
  const runRoot = mkdtempSync(join(tmpdir(), 'relight-evidence-'));
  const directory = join(runRoot, 'w', '1');
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, '3.process.log'), said);
  let asked = 0;
  const engine = {
    exec: () => {
      asked += 1;
      return Promise.resolve({ exitCode: 0, stdout: logs, stderr: '' });
    },
  };
  const read = (pid = 4_711) =>
    rayEvidence({ engine, runRoot }).read(
      { workload: 'w', generation: 1, container: { id: 'c', pid }, lines: 10 },
      new AbortController().signal,
    );
  return { read, asked: () => asked };
}

const rayStart = '2026-11-22 04:46:16,148\tSUCC scripts.py:1251 -- Ray runtime started.\n';

it("what Ray's daemons wrote last, where Ray was started", async () => {
  expect(await world(rayStart).read()).toEqual([{ text: 'raylet: gone\n', keep: 'end' }]);
  expect(await world(rayStart, '').read()).toEqual([]);
});

it('runs no command elsewhere, and none in a container that is dead', async () => {
  const other = world('training: epoch 3\n');
  expect(await other.read()).toEqual([]);
  expect(other.asked()).toBe(0);
  const dead = world(rayStart);
  expect(await dead.read(0)).toEqual([]);
  expect(dead.asked()).toBe(0);
});
