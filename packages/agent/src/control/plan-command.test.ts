import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseConfig } from '../config/load.ts';
import type { Plan } from './plan.ts';
import { planCommand } from './plan-command.ts';
import { recordedIo, temporaryDirectory, writeTo, type RecordedIo } from './recorded-io.ts';

let directory: string;
beforeEach(() => {
  directory = temporaryDirectory();
});
afterEach(() => rmSync(directory, { recursive: true }));

const write = (name: string, content: unknown, mode?: number): string => writeTo(directory, name, content, mode);

describe('plan', () => {
  const config = (): string =>
    write('agent.yaml', {
      version: 1,
      state_dir: join(directory, 'state'),
      vars: { HEAD: { run: 'find-head', timeout: '20s' }, SECRET: 'hf_secret' },
      workloads: [
        {
          name: 'w',
          depends_on: [{ tcp: '${HEAD}:6379' }],
          container: { image: 'busybox', environment: { TOKEN: 'hf_secret' } },
          mounts: [
            { name: 'late', type: 'command', run: 'mount-late', target: '/late' },
            { name: 'first', type: 'gcsfuse', bucket: '${HEAD}-b', target: '/first' },
          ],
          setup: [{ name: 'one', run: `echo 'a "b"'`, timeout: '2m' }, { mount: 'late' }, { name: 'two', run: ['true'] }],
          process: { run: 'serve $HEAD', before: 'clean' },
          ready: [{ tcp: '${HEAD}:1' }],
          restart: { process: { initial: '1s', max: '4s', escalate_after: 2 } },
        },
      ],
    });

  async function plan(): Promise<{ plan: Plan; io: RecordedIo }> {
    const io = recordedIo();
    expect(await planCommand({ config: config(), json: true }, io)).toBe(0);
    return { plan: JSON.parse(io.out.join('')) as Plan, io };
  }

  it('shows the stages in their order, with deadlines and argv', async () => {
    const { plan: found } = await plan();
    expect(found.workloads[0]?.stages.map(({ phase, what, deadlineMs, argv }) => [phase, what, deadlineMs, argv])).toEqual([
      ['waiting', 'resolve HEAD, SECRET', null, undefined],
      ['waiting', 'until ${HEAD}:6379 answers', null, undefined],
      ['pulling', 'busybox', null, undefined],
      ['creating', 'container w from busybox', null, undefined],
      ['mounting', 'first at /first', 60_000, ['gcsfuse', '--foreground', '${HEAD}-b', '/first']],
      ['setting-up', 'one', 120_000, ['bash', '-c', `echo 'a "b"'`]],
      ['mounting', 'late at /late', 60_000, ['bash', '-c', 'mount-late']],
      ['setting-up', 'two', 600_000, ['true']],
      ['starting', 'before the process', null, ['bash', '-c', 'clean']],
      ['starting', 'the process', null, ['bash', '-c', 'serve $HEAD']],
      ['verifying', 'tcp ${HEAD}:1', 180_000, undefined],
    ]);
  });

  it('shows when each attempt comes', async () => {
    const { plan: found } = await plan();
    expect(found.workloads[0]?.restart.process).toMatchObject({
      schedule: [
        { attempt: 1, waitMs: 0, afterMs: 0 },
        { attempt: 2, waitMs: 1_000, afterMs: 1_000 },
        { attempt: 3, waitMs: 2_000, afterMs: 3_000 },
        { attempt: 4, waitMs: 4_000, afterMs: 7_000 },
      ],
      escalateAfter: 2,
      slowRetryMs: 4_000,
    });
  });

  it('compares with what the running agent works with', async () => {
    const spec = parseConfig(readFileSync(config(), 'utf8'), '/a.yaml', { hostname: 'h' }).workloads[0];
    expect((await plan()).plan.workloads[0]?.change).toEqual({ against: 'unknown', restarts: 'none', changes: [] });
    mkdirSync(join(directory, 'state', 'workloads'), { recursive: true });
    write(
      'state/workloads/w.json',
      JSON.stringify({ spec: { ...spec, readyWindowMs: 1, process: { ...spec?.process, run: { text: 'old' } } } }),
    );
    expect((await plan()).plan.workloads[0]?.change).toEqual({
      against: 'stored',
      restarts: 'process',
      changes: [
        { field: 'ready_window', impact: 'none' },
        { field: 'process.run', impact: 'process' },
      ],
    });
  });

  it('says when the stored state cannot be read, and plans all the same', async () => {
    mkdirSync(join(directory, 'state', 'workloads'), { recursive: true });
    write('state/workloads/w.json', '{');
    const { plan: found, io } = await plan();
    expect(found.workloads[0]?.change.against).toBe('unknown');
    expect(io.err).toEqual([expect.stringMatching(/w\.json cannot be read, so changes are not shown: /)]);
  });

  it('shows no value of a variable or of the environment, in either form', async () => {
    const io = recordedIo();
    await planCommand({ config: config() }, io);
    await planCommand({ config: config(), json: true }, io);
    expect(io.out[0]).toContain("      $ bash -c 'serve $HEAD'\n");
    expect(io.out[0]).toContain('  When the process fails: at once, +1.0 s = 1.0 s, +2.0 s = 3.0 s, +4.0 s = 7.0 s, …');
    expect(io.out.join('')).not.toContain('hf_secret');
  });
});
