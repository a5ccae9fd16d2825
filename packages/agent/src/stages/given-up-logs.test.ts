import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ManualClock } from '@relight/shared/manual-clock';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { GivenUpLogs } from './given-up-logs.ts';

let root = '';
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'relight-given-up-'));
});
afterEach(() => rmSync(root, { recursive: true }));

function world(runRoot: string) {
  const said: unknown[] = [];
  const notice = (workload: string, message: string, data: unknown): void => {
    expect(message).toContain('of its logs');
    said.push({ workload, data });
  };
  return {
    said,
    logs: new GivenUpLogs({ runRoot, clock: new ManualClock(), logger: { warn: (data: unknown) => void said.push(data) }, notice }),
  };
}

it('removes what was given up, however deep, and nothing else, and says whose it was', async () => {
  const runRoot = join(root, 'runs');
  mkdirSync(join(runRoot, 'w', '1.given-up', 'a', 'b'), { recursive: true });
  mkdirSync(join(runRoot, 'w', '2'));
  for (const name of ['1.given-up/a/b/file', '1.given-up/-rf', '2/1.process.log']) writeFileSync(join(runRoot, 'w', name), '');
  const { logs, said } = world(runRoot);
  await logs.remove();
  await logs.remove();
  expect(readdirSync(join(runRoot, 'w'))).toEqual(['2']);
  expect(readdirSync(join(runRoot, 'w', '2'))).toEqual(['1.process.log']);
  expect(said).toEqual([{ workload: 'w', data: { generation: 1 } }]);
});

it('without a state directory there is nothing to do', async () => {
  const { logs, said } = world(join(root, 'runs'));
  await logs.remove();
  expect(said).toEqual([]);
});
