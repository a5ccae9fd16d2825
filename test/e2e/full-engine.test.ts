/** The disk under the data of the engine is full: no container can be made there, and that is what a person reads. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ApiIncident } from '@relight/shared/api';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Bystander } from '../support/bystander.ts';
import { dockerApi } from '../support/docker-api.ts';
import { startPrivateEngine, type PrivateEngine } from '../support/engine.ts';
import { buildTestImage } from '../support/image.ts';
import { startLab, type Lab } from '../support/lab.ts';
import { eventually, waitFor } from '../support/wait.ts';

let directory: string;
let engine: PrivateEngine;
let image: string;
let lab: Lab;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'relight-full-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=96m', 'tmpfs', directory]);
  engine = await startPrivateEngine({ directory: join(directory, 'engine') });
  image = await buildTestImage(engine);
  lab = await startLab({ engineSocket: engine.socket });
});
afterAll(async () => {
  await lab?.dispose();
  await engine?.dispose();
  execFileSync('umount', ['-l', directory]);
  rmSync(directory, { recursive: true, force: true });
});

test('held with the words of the engine and as disk-full; ready when there is room again', async () => {
  const process = { run: 'exec sleep 100000', stop_timeout: '1s' };
  const worker = await Bystander.ready(lab, 'full', image, { process });
  try {
    const mark = await worker.mark();
    const ballast = join(engine.directory, 'data', 'ballast');
    const fill = (blocks: string): void =>
      void execFileSync('sh', ['-c', `dd if=/dev/zero of='${ballast}' bs=${blocks} oflag=append conv=notrunc 2> /dev/null; true`]);
    fill('64k');
    // Whoever looks at once finds the room that the removal has freed.
    worker.agent.service.freeze();
    await dockerApi(engine.socket).remove(worker.containerName);
    fill('4k');
    worker.agent.service.thaw();
    const held = await waitFor(
      async () => {
        // Something of it is freed a moment later.
        fill('4k');
        return (await worker.since(mark)).find(({ kind, data }) => kind === 'workload.held' && data['code'] === 'disk-full');
      },
      { what: 'it to be held', timeoutMs: 60_000, everyMs: 50 },
    );
    expect(held.message).toMatch(/no space left on device/i);
    expect(held.data).toMatchObject({ advice: expect.stringContaining('disk') as string });
    rmSync(ballast);
    await worker.next(Number(held.id), 'workload.ready', undefined, 60_000);
    await eventually(
      async () => {
        const { items } = await lab.fleet.api.list<ApiIncident>('incidents', { host: worker.agent.host, workload: 'full' });
        expect(items).toHaveLength(1);
        expect(items[0]?.timeline.some(({ data }) => data['code'] === 'disk-full')).toBe(true);
        expect(items[0]?.closedAt).not.toBeNull();
      },
      { what: 'the incident', timeoutMs: 30_000, everyMs: 200 },
    );
  } finally {
    await worker.agent.service.stop();
  }
});
