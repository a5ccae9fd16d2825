import { existsSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { RelightError } from '@relight/shared/errors';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../config/load.ts';
import type { Engine } from '../engine/engine.ts';
import { recordedIo, temporaryDirectory, writeTo } from './recorded-io.ts';
import { setupCommand, type SetupSurroundings } from './setup-command.ts';
import { Interrupted, type SetupFlags } from './setup/answers.ts';
import { writeNew, writeOver } from './setup/place.ts';

const gone = async (): Promise<never> => {
  throw new RelightError('engine-unreachable', 'nothing answers at /s');
};
const noEngine = { info: gone, ping: gone, list: gone, inspect: gone, inspectRaw: gone } as unknown as Engine;

interface Tried {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  readonly started: readonly string[];
  readonly asked: readonly string[];
}

/** `answers`: of a person at a terminal, who leaves after the last one; none: there is no terminal. */
async function setup(
  directory: string,
  flags: Partial<SetupFlags>,
  answers?: readonly string[],
  more: Partial<SetupSurroundings> = {},
): Promise<Tried> {
  const io = recordedIo({ PATH: '' });
  const started: string[] = [];
  const asked: string[] = [];
  const around: SetupSurroundings = {
    hostname: 'tpu-0',
    rayPlaces: [],
    openEngine: () => noEngine,
    service: { state: async () => 'none', start: async (argv) => (started.push(argv.join(' ')), null) },
    openTerminal: () =>
      answers === undefined
        ? null
        : {
            ask: async (question) => {
              const answer = answers[asked.push(question) - 1];
              if (answer === undefined) throw new Interrupted();
              return answer;
            },
          },
    ...more,
  };
  const file = join(directory, 'agent.yaml');
  const code = await setupCommand({ config: file, stateDir: join(directory, 'state'), socket: '/s', ...flags }, io, around);
  return { code, out: io.out.join(''), err: io.err.join('\n'), started, asked };
}
const load = (directory: string) => loadConfig(join(directory, 'agent.yaml'), { hostname: 'tpu-0' });

describe('setup', () => {
  it('asks three questions and writes what was answered, for root alone', async () => {
    const directory = temporaryDirectory();
    const { asked, code, out, err } = await setup(directory, {}, ['none', 'nonsense', 'none', 'w-1 pool=v5e']);
    expect(asked.map((question) => question.slice(0, 2))).toEqual(['1.', '2.', '  ', '3.']);
    expect(err).toContain('there is no Docker Engine at /s\n            → Install one');
    expect(await load(directory)).toMatchObject({ host: { name: 'w-1', labels: { pool: 'v5e' } }, workloads: [], collector: null });
    expect(statSync(join(directory, 'agent.yaml')).mode & 0o777).toBe(0o600);
    // The engine is away: check says so, in its own words and exit code.
    expect(code).toBe(1);
    expect(out).toMatch(/error {3}the engine at \/s: nothing answers/);
    expect(out).toMatch(/Next:\n {2}- correct what check calls an error.*\n(.*\n)*.*relight-agent run --config/);
  });

  it.each([0, 1, 2])('leaves nothing behind when the person leaves after %i answers', async (count) => {
    const directory = temporaryDirectory();
    const { code, err } = await setup(directory, {}, ['none', 'none'].slice(0, count));
    expect(code).toBe(1);
    expect(err).toContain('nothing was written');
    expect(readdirSync(directory)).toEqual([]);
  });

  it('changes nothing the second time, and says so', async () => {
    const directory = temporaryDirectory();
    await setup(directory, { yes: true });
    const before = readFileSync(join(directory, 'agent.yaml'), 'utf8');
    const again = await setup(directory, { yes: true, host: 'other' });
    expect(again).toMatchObject({
      code: 0,
      out: expect.stringMatching(/is there: this host is set up, and nothing was changed[^]*--force/) as string,
    });
    expect(readFileSync(join(directory, 'agent.yaml'), 'utf8')).toBe(before);
    // What was asked for was not done.
    const join_ = await setup(directory, { yes: true, collector: 'https://c', joinToken: 'rlj_a' });
    expect(join_).toMatchObject({
      code: 1,
      err: expect.stringContaining('has not joined https://c: relight-agent join https://c') as string,
    });
  });

  it('says where a file that is there and is no configuration is wrong', async () => {
    const directory = temporaryDirectory();
    writeTo(directory, 'agent.yaml', 'version: 1\nworkload: []\n');
    await expect(setup(directory, { yes: true })).rejects.toMatchObject({
      code: 'config-invalid',
      message: expect.stringContaining('agent.yaml:2') as string,
    });
  });

  it('keeps what was there with --force', async () => {
    const directory = temporaryDirectory();
    writeTo(directory, 'agent.yaml', 'broken: [', 0o644);
    const { out } = await setup(directory, { yes: true, force: true, host: 'anew' });
    expect(out).toContain('the one before it is');
    expect((await load(directory)).host.name).toBe('anew');
    expect(readFileSync(join(directory, 'agent.yaml.bak'), 'utf8')).toBe('broken: [');
    expect(statSync(join(directory, 'agent.yaml.bak')).mode & 0o777).toBe(0o600);
  });

  it('prints and touches nothing with --dry-run', async () => {
    const directory = temporaryDirectory();
    const { code, out } = await setup(directory, { yes: true, dryRun: true, collector: 'https://c', joinToken: 'rlj_a' });
    expect({ code, files: readdirSync(directory) }).toEqual({ code: 0, files: [] });
    expect(out).toContain('# It reports to https://c');
  });

  it('writes nothing when it cannot join', async () => {
    const directory = temporaryDirectory();
    const flags = { yes: true, collector: 'https://127.0.0.1:1', joinToken: 'rlj_a' } as const;
    await expect(setup(directory, flags)).rejects.toMatchObject({ code: 'collector-unreachable' });
    expect(existsSync(join(directory, 'agent.yaml'))).toBe(false);
  });

  it('finds cluster files, and says what to give where one is not enough', async () => {
    const directory = temporaryDirectory();
    const types = 'head_node_type: h\navailable_node_types: {h: {}, a: {}, b: {}}\n';
    const cluster = (more: string): string =>
      `cluster_name: c\nprovider: {type: local, head_ip: 10.0.0.2}\ndocker: {image: "ray:1", container_name: r}\n${more}`;
    const file = writeTo(directory, 'ray.yaml', cluster(types));
    writeTo(directory, 'other.yaml', 'version: 1\n');
    const rayPlaces = [{ directory, names: /\.yaml$/ }];
    const unclear = await setup(directory, { yes: true, dryRun: true }, undefined, { rayPlaces });
    expect(unclear.err).toContain('2 worker types: a, b; which one is this host? → Name it with --node-type.');
    const { out, err } = await setup(directory, { yes: true, dryRun: true, nodeType: 'a' }, undefined, { rayPlaces });
    expect(out).toContain(`# From ${file}`);
    expect(out).toContain('name: ray-worker');
    expect(err).toMatch(/not carried over: .*ray\.yaml:/);
  });

  it.each<[Partial<SetupFlags>, readonly string[] | undefined, string, readonly string[]]>([
    [{ yes: true }, undefined, 'not what the service reads', []],
    [{}, ['none', 'none', ''], 'not what the service reads', []],
  ])('starts no service for another file than its own: %j', async (flags, answers, _, expected) => {
    const running = { state: async () => 'stopped' as const, start: async () => null };
    expect((await setup(temporaryDirectory(), flags, answers, { service: running })).started).toEqual(expected);
  });
});

describe('the place of the file', () => {
  it('is never taken from a file that has come meanwhile', () => {
    const directory = temporaryDirectory();
    const file = writeTo(directory, 'agent.yaml', 'mine');
    expect(() => writeNew(file, 'other')).toThrow('has come meanwhile');
    expect({ text: readFileSync(file, 'utf8'), files: readdirSync(directory) }).toEqual({ text: 'mine', files: ['agent.yaml'] });
  });

  it('stays a link', () => {
    const directory = temporaryDirectory();
    const target = writeTo(directory, 'real.yaml', 'old');
    symlinkSync(target, join(directory, 'agent.yaml'));
    expect(writeOver(join(directory, 'agent.yaml'), 'new')).toBe(`${target}.bak`);
    expect(readFileSync(target, 'utf8')).toBe('new');
  });

  it('is looked at before anybody is asked', async () => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, 'file'), '');
    await expect(setup(join(directory, 'file'), {}, [])).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringContaining('is no directory') as string,
    });
  });
});
