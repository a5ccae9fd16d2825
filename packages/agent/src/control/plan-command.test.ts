import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseConfig } from '../config/load.ts';
import { joinedFile, writeJoined } from '../uplink/joined.ts';
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
      host: {
        gate: { quiet_for: '3s', tcp: ['10.0.0.1:22'] },
        setup: [{ name: 'driver', run: 'modprobe nvidia', timeout: '1m', retry: { attempts: 3, delay: '2s' }, verify: 'nvidia-smi' }],
      },
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

  it('names the collector that this host has joined', async () => {
    expect((await plan()).plan.collector).toBeNull();
    const stateDir = join(directory, 'state');
    mkdirSync(stateDir);
    const joined = {
      token: 'rla_x',
      tokenId: 't',
      host: 'h',
      issuedAt: 0,
      expiresAt: 1,
      url: 'https://c.example:7460',
      fingerprint: null,
      caFile: null,
    };
    writeJoined(joinedFile(stateDir), joined);
    expect((await plan()).plan.collector).toBe('https://c.example:7460');
    write('state/collector.json', 'no JSON');
    const { plan: without, io } = await plan();
    expect(without.collector).toBeNull();
    expect(io.err.join('\n')).toMatch(/^whether this host has joined a collector is not shown: .*collector\.json cannot be read/m);
  });

  it('shows what the host must be like, and its commands', async () => {
    const { plan: found } = await plan();
    expect(found.gate).toEqual({
      conditions: ['package manager idle', 'no reboot pending', 'no shutdown due', 'tcp 10.0.0.1:22', 'engine answers'],
      quietForMs: 3_000,
      timeoutMs: 900_000,
    });
    expect(found.hostSetup).toMatchObject([
      {
        phase: 'setting-up',
        what: 'driver',
        deadlineMs: 60_000,
        notes: ['up to 3 attempts, 2.0 s apart', expect.stringMatching(/^verified by: .*nvidia-smi/)],
      },
    ]);
    const io = recordedIo();
    await planCommand({ config: config() }, io);
    expect(io.out.join('')).toContain('quiet for 3.0 s, waits at most 15 m 00 s');
    expect(io.out.join('')).toContain('Host commands, once per boot, before any workload');
  });

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

  it('shows when each attempt comes, and from when on slowly', async () => {
    const { plan: found } = await plan();
    const { process } = found.workloads[0]?.restart ?? {};
    expect(process).toMatchObject({ escalateAfter: 2, slowRetryMs: 4_000 });
    expect(process?.schedule.map(({ waitMs }) => waitMs)).toEqual([0, 1_000, 2_000, ...Array.from({ length: 8 }, () => 4_000)]);
    expect(process?.schedule.at(3)).toEqual({ attempt: 4, waitMs: 4_000, afterMs: 7_000, slow: false });
    expect(process?.schedule.at(-1)).toEqual({ attempt: 11, waitMs: 4_000, afterMs: 35_000, slow: true });
    expect(found.workloads[0]?.escalation).toEqual([
      'the process started again in its container',
      'after 2 failures in a row: the same container started again; of its steps 0 are verified, the others are run again',
      'after 2 more: a new container',
      'more than 5 new containers in 10 m 00 s: a person is called; slow retries go on',
    ]);
  });

  it("shows the field's schedule, 5, 5, 10, 20, 40, 60 …, with absolute waits", async () => {
    const io = recordedIo();
    const workloads = [
      { name: 'w', container: { image: 'busybox' }, process: { run: 'serve' }, restart: { process: { preset: 'http-startup' } } },
    ];
    await planCommand({ config: write('preset.yaml', { version: 1, state_dir: join(directory, 'state'), workloads }) }, io);
    expect(io.out.join('')).toContain(
      'attempt 1 at once, 2 after 5.0 s (at +5.0 s), 3 after 5.0 s (at +10.0 s), 4 after 10.0 s (at +20.0 s), 5 after 20.0 s (at +40.0 s), 6 after 40.0 s (at +1 m 20 s), 7 after 1 m 00 s (at +2 m 20 s)',
    );
  });

  it('shows the prepared spare', async () => {
    const io = recordedIo();
    const workloads = [{ name: 'w', container: { image: 'busybox' }, process: { run: 'serve' }, spare: 'prepared' }];
    await planCommand({ config: write('spare.yaml', { version: 1, state_dir: join(directory, 'state'), workloads }) }, io);
    expect(io.out.join('')).toContain('  Spare: w-relight-spare is created, mounted and set up once it is ready');
  });

  it('shows what becomes of an adopted container, and no change where it was taken over', async () => {
    const workloads = [{ name: 'w', container: { adopt: 'old' } }];
    const file = write('adopt.yaml', { version: 1, state_dir: join(directory, 'state'), workloads });
    const spec = parseConfig(readFileSync(file, 'utf8'), '/a.yaml', { hostname: 'h' }).workloads[0];
    mkdirSync(join(directory, 'state', 'workloads'), { recursive: true });
    write(
      'state/workloads/w.json',
      JSON.stringify({ spec: { ...spec, container: { ...spec?.container, image: 'ray:1', adoptedId: 'abc' } } }),
    );
    const io = recordedIo();
    await planCommand({ config: file, json: true }, io);
    const found = JSON.parse(io.out.join('')) as Plan;
    expect(found.workloads[0]).toMatchObject({ container: 'old', image: 'ray:1', change: { against: 'stored', changes: [] } });
    expect(found.workloads[0]?.stages.map(({ what }) => what)).toEqual(['ray:1', 'take over container old as it runs']);
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

  describe('a change that makes a new container of an image that is not on this host', () => {
    const before = (): void => {
      const spec = parseConfig(readFileSync(config(), 'utf8'), '/a.yaml', { hostname: 'h' }).workloads[0];
      mkdirSync(join(directory, 'state', 'workloads'), { recursive: true });
      write('state/workloads/w.json', JSON.stringify({ spec }));
    };
    const changed = (container: object): string => {
      before();
      const workloads = [{ name: 'w', container }];
      return write('changed.yaml', { version: 1, state_dir: join(directory, 'state'), workloads });
    };
    const planned = async (container: object, here: boolean): Promise<RecordedIo> => {
      const io = recordedIo();
      await planCommand({ config: changed(container) }, io, () => ({ hasImage: async () => here }));
      return io;
    };

    it('says that the container goes on until the image is pulled', async () => {
      expect((await planned({ image: 'trainer:2' }, false)).out[0]).toMatch(
        /makes a new container\n(.*\n)* {6}! the image trainer:2 is not on this host: a container that runs goes on under the configuration before, until it is pulled\n$/,
      );
      expect((await planned({ image: 'trainer:2' }, true)).out[0]).not.toContain('not on this host');
    });

    it('says that somebody has to bring it where the policy is never', async () => {
      expect((await planned({ image: 'trainer:2', pull_policy: 'never' }, false)).out[0]).toContain(
        '      ! the image trainer:2 is not on this host: a container that runs goes on under the configuration before, until somebody brings it (pull_policy is never): docker load or docker pull trainer:2\n',
      );
    });

    it('plans without an engine all the same, and says so', async () => {
      const io = recordedIo();
      const away = (): Promise<boolean> => Promise.reject(new Error('no such socket'));
      await planCommand({ config: changed({ image: 'trainer:2' }) }, io, () => ({ hasImage: away }));
      expect(io.err).toEqual([expect.stringMatching(/^whether the images are on this host is not shown: .*no such socket$/)]);
      expect(io.out[0]).toContain('Compared with what runs: makes a new container');
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
    expect(io.out[0]).toContain(
      '  When the process fails: attempt 1 at once, 2 after 1.0 s (at +1.0 s), 3 after 2.0 s (at +3.0 s), 4 after 4.0 s (at +7.0 s), ',
    );
    expect(io.out.join('')).not.toContain('hf_secret');
  });
});
