import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { managedLabels } from '../engine/create-options.ts';
import { temporaryDirectory, writeTo } from './recorded-io.ts';
import { load, noEngine, setup, withEngine, type Tried } from './setup-command.test-data.ts';
import type { SetupSurroundings } from './setup-command.ts';
import type { SetupFlags } from './setup/answers.ts';
import { writeNew, writeOver } from './setup/place.ts';

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
    expect(code).toBe(130);
    expect(err).toContain('relight-agent: left before the end. Nothing was changed on this host.');
    expect(readdirSync(directory)).toEqual([]);
  });

  it('changes nothing the second time, and says so', async () => {
    const directory = temporaryDirectory();
    await setup(directory, { yes: true, workloads: false });
    const before = readFileSync(join(directory, 'agent.yaml'), 'utf8');
    const again = await setup(directory, { yes: true, host: 'other' });
    expect(again).toMatchObject({
      code: 0,
      out: expect.stringMatching(/is there: this host is set up, and nothing was changed[^]*--force/) as string,
    });
    expect(readFileSync(join(directory, 'agent.yaml'), 'utf8')).toBe(before);
    // What was asked for was not done.
    const join_ = await setup(directory, { yes: true, collector: 'https://c' });
    expect(join_).toMatchObject({
      code: 1,
      err: expect.stringContaining('has not joined https://c: relight-agent join https://c') as string,
    });
  });

  it('joins the collector that is named with a token, also where a configuration is there, and leaves that as it is', async () => {
    const directory = temporaryDirectory();
    const stateDir = join(directory, 'state');
    await setup(directory, { yes: true, workloads: false, host: 'set-up', stateDir });
    const before = readFileSync(join(directory, 'agent.yaml'), 'utf8');
    const asked: string[] = [];
    const server = createServer((request, response) => {
      let body = '';
      request.on('data', (piece: Buffer) => (body += piece.toString()));
      request.on('end', () => {
        asked.push(`${request.url} ${request.headers.authorization} ${(JSON.parse(body) as { host: string }).host}`);
        const credential = { token: 'rla_x', tokenId: 't', host: 'set-up', issuedAt: 1, expiresAt: 2 };
        response.writeHead(201, { 'content-type': 'application/json' }).end(JSON.stringify(credential));
      });
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { code, out, err } = await setup(directory, { yes: true, collector: url, joinToken: 'rlj_a' });
    server.close();
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(asked).toEqual(['/agent/v1/join Bearer rlj_a set-up']);
    expect(out).toMatch(/set-up has joined http[^]*nothing of it was changed[^]*Next:\n {2}- start the agent: relight-agent run --config/);
    expect(readFileSync(join(directory, 'agent.yaml'), 'utf8')).toBe(before);
    expect(readdirSync(stateDir)).toContain('collector.json');
    // As provisioning does it again and again; another collector is something else.
    expect(await setup(directory, { yes: true, collector: `${url}/`, joinToken: 'rlj_a' })).toMatchObject({ code: 0, err: '' });
    expect(await setup(directory, { yes: true, collector: 'https://other', joinToken: 'rlj_a' })).toMatchObject({
      code: 1,
      err: expect.stringMatching(/reports to .*, not to https:\/\/other\. To move it: relight-agent join https:\/\/other /) as string,
    });
    expect(asked).toHaveLength(1);
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
    const { out } = await setup(directory, { yes: true, workloads: false, force: true, host: 'anew' });
    expect(out).toContain('the one before it is');
    expect((await load(directory)).host.name).toBe('anew');
    expect(readFileSync(join(directory, 'agent.yaml.bak'), 'utf8')).toBe('broken: [');
    expect(statSync(join(directory, 'agent.yaml.bak')).mode & 0o777).toBe(0o600);
  });

  it('prints and touches nothing with --dry-run', async () => {
    const directory = temporaryDirectory();
    const { code, out } = await setup(directory, { yes: true, workloads: false, dryRun: true, collector: 'https://c', joinToken: 'rlj_a' });
    expect({ code, files: readdirSync(directory) }).toEqual({ code: 0, files: [] });
    expect(out).toContain('# It reports to https://c');
  });

  it('writes nothing when it cannot join', async () => {
    const directory = temporaryDirectory();
    const flags = { yes: true, workloads: false, collector: 'https://127.0.0.1:1', joinToken: 'rlj_a' } as const;
    await expect(setup(directory, flags)).rejects.toMatchObject({ code: 'collector-unreachable' });
    // Nor an identity, by which the service would take this host for one that has run.
    expect(readdirSync(directory)).toEqual([]);
    mkdirSync(join(directory, 'state'));
    await expect(setup(directory, flags)).rejects.toMatchObject({ code: 'collector-unreachable' });
    expect(readdirSync(join(directory, 'state'))).toEqual([]);
  });

  it('finds cluster files, and says what to give where one is not enough', async () => {
    const directory = temporaryDirectory();
    const types = 'head_node_type: h\navailable_node_types: {h: {}, a: {}, b: {}}\n';
    const cluster = (more: string): string =>
      `cluster_name: c\nprovider: {type: local, head_ip: 10.0.0.2}\ndocker: {image: "ray:1", container_name: r}\n${more}`;
    const file = writeTo(directory, 'ray.yaml', cluster(types));
    writeTo(directory, 'other.yaml', 'version: 1\n');
    const around = { ...withEngine(), rayPlaces: [{ directory, names: /\.yaml$/ }] };
    const unclear = await setup(directory, { yes: true, dryRun: true }, undefined, around);
    expect(unclear.err).toContain('2 worker types: a, b; which one is this host? → Name it with --node-type.');
    const { out, err } = await setup(directory, { yes: true, dryRun: true, nodeType: 'a' }, undefined, around);
    expect(out).toContain(`# From ${file}`);
    expect(out).toContain('name: ray-worker');
    expect(err).toMatch(/not carried over: .*ray\.yaml:/);
  });

  it.each<[Partial<SetupFlags>, readonly string[] | undefined, number]>([
    [{ yes: true }, undefined, 0],
    [{ start: true }, ['none', 'none', ''], 3],
    [{}, ['none', 'none', '', 'yes'], 3],
  ])('starts no service for another file than its own, nor asks whether to: %j', async (flags, answers, questions) => {
    const started: string[] = [];
    const service = {
      state: async () => 'stopped' as const,
      start: async (argv: readonly string[]) => (started.push(argv.join(' ')), null),
    };
    const { code, asked } = await setup(temporaryDirectory(), flags, answers, { ...withEngine(), service });
    expect({ code, started, questions: asked.length }).toEqual({ code: 0, started: [], questions });
  });
});

describe('what runs here', () => {
  it.each<[string, Partial<SetupSurroundings>, RegExp]>([
    ['an engine that is not there yet', {}, /not known.*no Docker Engine at \/s/],
    [
      'a container that the engine says nothing of',
      withEngine({ name: 'a' }, { name: 'b', hangs: true }),
      /not known.*container b: no answer/,
    ],
  ])('is not guessed with %s: nothing is written', async (_, around, message) => {
    const directory = temporaryDirectory();
    const given = { code: 'engine-unreachable', advice: expect.stringContaining('--no-workloads') as string };
    await expect(setup(directory, { yes: true }, undefined, around)).rejects.toMatchObject({
      ...given,
      message: expect.stringMatching(message) as string,
    });
    expect(readdirSync(directory)).toEqual([]);
  });

  it('is what a person sees of it, with what is missing', async () => {
    const { asked, err } = await setup(temporaryDirectory(), {}, [], withEngine({ name: 'a' }, { name: 'b', hangs: true }));
    expect(asked[0]).toContain('1  a  img:1: taken over as it runs');
    expect(err).toContain('left out      the container b: no answer for b within 10 s');
  });

  it('is nothing when the engine answers for hardly anything', async () => {
    const hung = ['a', 'b', 'c', 'd'].map((name) => ({ name, hangs: true }) as const);
    const { err } = await setup(temporaryDirectory(), {}, [], withEngine({ name: 'e' }, ...hung));
    expect(err).toContain('there is no Docker Engine at /s');
    expect(err).not.toContain('left out');
  });

  it('is left to Relight where it made that itself', async () => {
    const directory = temporaryDirectory();
    const cluster = 'cluster_name: c\nprovider: {type: local, head_ip: 10.0.0.2}\ndocker: {image: "ray:1", container_name: r}\n';
    const rayYaml = writeTo(directory, 'ray.yaml', cluster);
    const next = async (labels: Readonly<Record<string, string>>): Promise<string> => {
      const config = join(temporaryDirectory(), 'agent.yaml');
      return (await setup(directory, { config, yes: true, rayYaml }, undefined, withEngine({ name: 'r', labels }))).out;
    };
    expect(await next({})).toContain('docker rm -f r');
    expect(await next({ [managedLabels.agent]: 'me' })).not.toContain('docker rm');
  });

  it.each([
    ['somebody else owns', 0o644, new Set<number>()],
    ['others may write', 0o664, undefined],
    ['everybody may write', 0o646, undefined],
  ])('is no worker of a cluster file that %s, unless it is named', async (_, mode, owners) => {
    const directory = temporaryDirectory();
    const cluster = 'cluster_name: c\nprovider: {type: local, head_ip: 10.0.0.2}\ndocker: {image: "ray:1", container_name: r}\n';
    const file = writeTo(directory, 'ray.yaml', cluster, mode);
    const around = {
      ...withEngine(),
      rayPlaces: [{ directory, names: /\.yaml$/ }],
      ...(owners === undefined ? {} : { rayOwners: owners }),
    };
    const { out, err } = await setup(directory, { yes: true, dryRun: true }, undefined, around);
    expect(out).not.toContain('ray-worker');
    expect(err).toMatch(new RegExp(`left out {6}${file}: .* → .*--ray-yaml ${file}`));
    expect((await setup(directory, { yes: true, dryRun: true, rayYaml: file }, undefined, around)).out).toContain('ray-worker');
  });
});

describe('--force', () => {
  const a = { name: 'a', container: { adopt: 'a' } };
  const old = (directory: string, more: object = {}): string => {
    const places = { state_dir: join(directory, 'state'), engine: { socket: '/s' } };
    const all = { version: 1, host: { labels: { pool: 'a' } }, ...places, workloads: [a], ...more };
    return readFileSync(writeTo(directory, 'agent.yaml', all), 'utf8');
  };
  const agentOf = (directory: string, ...workloads: readonly string[]): Partial<SetupSurroundings> => ({
    runningAgent: async () => ({ file: join(directory, 'agent.yaml'), workloads }),
  });
  const force = (directory: string, flags: Partial<SetupFlags> = {}, around: Partial<SetupSurroundings> = {}): Promise<Tried> =>
    setup(directory, { yes: true, force: true, ...flags }, undefined, { ...withEngine({ name: 'a' }), ...around });

  it.each<[string, object, Partial<SetupFlags>, string]>([
    ['workloads', {}, { workloads: false, label: ['pool=a'] }, 'workload a'],
    ['what a person has added to one', { workloads: [{ ...a, process: { run: 'x' } }] }, { label: ['pool=a'] }, 'workload a'],
    ['labels', {}, {}, 'host.labels.pool'],
    ['the name', { host: { name: 'w-1' } }, {}, 'host.name'],
    ['the state directory', { host: {}, state_dir: '/srv/state' }, {}, 'state_dir'],
    ['sections', { host: {}, vars: { A: 'x', B: 'y' }, collector: { url: 'http://c' } }, {}, 'vars.A, vars.B, collector.url'],
    ['what stands in a file with a mistake', { host: {}, vars: { A: 'x' }, worklods: [] }, {}, 'vars.A'],
  ])('refuses to lose %s, and changes nothing', async (_, more, flags, lost) => {
    const directory = temporaryDirectory();
    const before = old(directory, more);
    await expect(force(directory, flags)).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringMatching(new RegExp(`holds what a new one would not.*: ${lost}$`)) as string,
    });
    expect({ files: readdirSync(directory), text: readFileSync(join(directory, 'agent.yaml'), 'utf8') }).toEqual({
      files: ['agent.yaml'],
      text: before,
    });
  });

  it('writes what is there anyway and more, and overwrites no backup', async () => {
    const directory = temporaryDirectory();
    old(directory, { workloads: [] });
    writeTo(directory, 'agent.yaml.bak', 'by hand');
    const around = agentOf(directory, 'a');
    expect(await force(directory, { label: ['pool=b'] }, around)).toMatchObject({ code: 0 });
    expect(await load(directory)).toMatchObject({ host: { labels: { pool: 'b' } }, workloads: [{ name: 'a' }] });
    expect(readFileSync(join(directory, 'agent.yaml.bak'), 'utf8')).toBe('by hand');
    expect(readFileSync(join(directory, 'agent.yaml.bak.2'), 'utf8')).toContain('workloads: []');
  });

  it('keeps whole what is no YAML, and says where, and that nothing of it was taken over', async () => {
    const directory = temporaryDirectory();
    const broken = 'workloads:\n\t- {name: precious}\n';
    writeTo(directory, 'agent.yaml', broken);
    const { code, out } = await force(directory);
    expect(code).toBe(0);
    expect(readFileSync(join(directory, 'agent.yaml.bak'), 'utf8')).toBe(broken);
    expect(out).toContain(
      `the one before it is ${join(directory, 'agent.yaml.bak')}, kept whole: it was no YAML, so nothing of it was taken over`,
    );
    expect((await force(directory)).out).not.toContain('no YAML');
  });

  it.each([['broken: ['], [undefined]])('takes no place of a file %j that an agent still works by', async (text) => {
    const directory = temporaryDirectory();
    if (text !== undefined) writeTo(directory, 'agent.yaml', text);
    const files = readdirSync(directory);
    await expect(force(directory, {}, agentOf(directory, 'a'))).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringContaining('keeps a: a new file would take its place at once') as string,
    });
    expect(readdirSync(directory)).toEqual(files);
    // One that keeps nothing, or reads another file, loses nothing.
    expect((await force(directory, {}, agentOf(directory))).code).toBe(0);
    expect((await force(directory, {}, agentOf('/elsewhere', 'a'))).code).toBe(0);
  });

  it('gives a running agent nothing that check calls an error, nor anything with --no-start', async () => {
    const directory = temporaryDirectory();
    const before = old(directory, { host: {}, workloads: [] });
    const bad = await force(directory, { workloads: false }, { ...agentOf(directory), openEngine: () => noEngine });
    expect(bad).toMatchObject({ code: 1, err: expect.stringContaining('nothing was written') as string });
    await expect(force(directory, { start: false }, agentOf(directory))).rejects.toMatchObject({ code: 'usage' });
    expect(readdirSync(directory)).toEqual(['agent.yaml']);
    expect(readFileSync(join(directory, 'agent.yaml'), 'utf8')).toBe(before);
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
