/** What is wrong with a host itself: seen, said with its cause and advice, and over again. */
import type { ApiHost, ApiHostCondition } from '@relight/shared/api';
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from 'vitest';
import { Bystander } from '../support/bystander.ts';
import { startLab, type Lab } from '../support/lab.ts';
import { startMetadataServer } from '../support/metadata-server.ts';
import { waitFor } from '../support/wait.ts';

const image = inject('engineImage');
const mib = 1024 ** 2;
let lab: Lab;

beforeAll(async () => {
  lab = await startLab({ engineSocket: inject('engineSocket') });
});
afterAll(async () => {
  await lab?.dispose();
});

async function hostWith(name: string, matches: (conditions: readonly ApiHostCondition[]) => boolean, what: string): Promise<ApiHost> {
  return waitFor(
    async () => {
      const host = await lab.fleet.host(name);
      return host !== undefined && matches(host.conditions ?? []) ? host : undefined;
    },
    { timeoutMs: 30_000, everyMs: 100, what },
  );
}
/** `subject`: the disks of the machine of the tests may have a word of their own. */
const has = (name: string, subject?: string) => (conditions: readonly ApiHostCondition[]) =>
  conditions.some((condition) => condition.name === name && (subject === undefined || condition.subject === subject));

describe('memory', () => {
  test('a child that the kernel kills for want of memory: its name and its container are told, and the process starts again', async () => {
    const worker = await Bystander.ready(lab, 'oom', image, {
      container: { mem_limit: '64mb', memswap_limit: '64mb' },
      process: { run: 'while :; do if rm /eat 2> /dev/null; then tail /dev/zero; fi; sleep 0.1; done', stop_timeout: '1s' },
    });
    const before = await worker.container();
    const mark = await worker.mark();
    await worker.exec('touch', '/eat');
    const oom = await worker.next(mark, 'container.oom');
    expect(oom).toMatchObject({
      host: 'oom',
      workload: 'oom',
      message: expect.stringMatching(/^the kernel killed tail \(pid \d+\): the container reached its memory limit$/),
      data: { process: 'tail', constraint: 'container', pid: expect.any(Number) },
    });
    await worker.next(mark, 'workload.ready');
    await worker.caughtUp();
    expect((await worker.container()).id).toBe(before.id);
    expect((await worker.status()).restarts).toEqual({ process: 1, container: 0, host: 0 });
    // One killing is told once, though the engine and the kernel log both tell of it.
    expect((await worker.kindsSince(mark)).filter((kind) => kind === 'container.oom')).toHaveLength(1);
    await worker.agent.service.stop();
  });
});

describe('disk', () => {
  test('a state directory that fills up: low, full, and over again', async () => {
    const agent = await lab.addAgent({ host: 'disk', workloads: [], start: false });
    mkdirSync(agent.stateDir, { recursive: true });
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', agent.stateDir]);
    onTestFinished(async () => {
      await agent.service.stop();
      execFileSync('umount', ['-l', agent.stateDir]);
    });
    await agent.service.start();
    const [isLow, isFull] = [has('disk-low', agent.stateDir), has('disk-full', agent.stateDir)];
    await hostWith('disk', (conditions) => !isLow(conditions), 'a host without trouble');

    const ballast = join(agent.stateDir, 'ballast');
    writeFileSync(ballast, Buffer.alloc(62 * mib, 1));
    const low = await hostWith('disk', isLow, 'disk-low');
    expect(low.conditions).toContainEqual(
      expect.objectContaining({
        name: 'disk-low',
        subject: agent.stateDir,
        severity: 'warning',
        reason: expect.stringContaining('of 64.0 MiB free'),
      }),
    );
    const { stdout } = await lab.relight('status');
    expect(stdout).toContain(`disk-low ${agent.stateDir}`);
    expect((await lab.agentCommand(agent, 'status')).stdout).toContain(`warning  disk-low ${agent.stateDir}`);

    writeFileSync(join(agent.stateDir, 'more'), Buffer.alloc(mib + mib / 2, 1), { flag: 'w' });
    await hostWith('disk', isFull, 'disk-full');
    await waitFor(async () => (await lab.relight('alerts')).stdout.includes('disk-full'), { what: 'the alert', timeoutMs: 30_000 });

    rmSync(ballast);
    rmSync(join(agent.stateDir, 'more'));
    await hostWith('disk', (conditions) => !isFull(conditions) && !isLow(conditions), 'the disk to be fine again');
    await waitFor(
      async () => {
        const notices = await lab.fleet.events({ host: 'disk', kind: 'host.notice', limit: 100 });
        return notices.some(
          ({ data }) => data['condition'] === 'disk-low' && data['subject'] === agent.stateDir && data['state'] === 'cleared',
        );
      },
      { what: 'the event that it is over', timeoutMs: 30_000 },
    );
  });
});

describe('cloud', () => {
  test('a spot instance that is taken away: nothing is restarted any more, and nobody is woken for the silence', async () => {
    const metadata = await startMetadataServer(
      (headers, path) => path === '/latest/api/token' || headers['x-aws-ec2-metadata-token'] === 'T',
    );
    metadata.answers.set('/latest/api/token', { body: 'T' });
    const worker = await Bystander.start(lab, 'spot', image, {}, { env: { RELIGHT_METADATA_URL: `aws+${metadata.base}` } });
    await worker.phase('ready');
    const time = new Date(Date.now() + 120_000).toISOString();
    metadata.answers.set('/latest/meta-data/spot/instance-action', { body: JSON.stringify({ action: 'terminate', time }) });
    const host = await hostWith('spot', has('preemption'), 'the notice');
    expect(host.conditions).toContainEqual(
      expect.objectContaining({ name: 'preemption', reason: expect.stringContaining(`terminate at ${time}`) }),
    );
    const [notice] = await waitFor(
      async () => {
        const notices = await lab.fleet.events({ host: 'spot', kind: 'host.notice' });
        const preempted = notices.filter(({ data }) => data['condition'] === 'preemption');
        return preempted.length > 0 && preempted;
      },
      { what: 'the event of the notice', timeoutMs: 30_000 },
    );
    expect(notice?.message).toMatch(/takes this machine away in (2 m|1 m \d\d s)/);
    expect(notice?.data['leftMs']).toBeGreaterThan(100_000);
    expect(notice?.data['leftMs']).toBeLessThanOrEqual(120_000);

    await lab.engine.kill((await worker.container()).id, 'SIGKILL');
    const waiting = await worker.phase('waiting');
    expect(waiting.reason).toContain('this machine is preempted');

    await worker.agent.service.kill();
    await waitFor(async () => (await lab.fleet.host('spot'))?.state === 'stopped', { what: 'the announced silence', timeoutMs: 30_000 });
    expect((await lab.fleet.host('spot'))?.reason).toContain('preemption was announced');
    expect((await lab.relight('alerts')).stdout).not.toContain('HostDead');
  });
});
