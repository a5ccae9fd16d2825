import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { importContainer } from '../../config/import/container.ts';
import { importRay } from '../../config/import/ray/import-ray.ts';
import { parseConfig } from '../../config/load.ts';
import { answersOf, parseHost, parseJoin, type SetupFlags } from './answers.ts';
import { choicesOf, conflict, parseChoice } from './choices.ts';
import { isName, type FoundContainer, type FoundRay, type SetupFacts } from './facts.ts';
import { nextSteps, startCommand, type Situation } from './next.ts';
import { looksLikeRay, usualRayPlaces } from './ray-files.ts';
import { setupYaml, type SetupPlan } from './write-config.ts';

const container = (name: string, more: Partial<FoundContainer> = {}): FoundContainer => ({
  name,
  image: 'img:1',
  running: true,
  usesAccelerators: false,
  isOurs: false,
  madeFor: null,
  refusal: null,
  keeper: null,
  isUpdater: false,
  imported: null,
  ...more,
});
const importedOf = (name: string) => ({
  yaml: importContainer({ Name: `/${name}`, Config: { Image: 'img:1', Env: ['TOKEN=a"b: #c'], Cmd: ['sleep', '9'] } }, null).yaml,
  notes: [],
});
const withRm = (name: string): FoundContainer =>
  container(name, { refusal: { why: 'started with --rm', advice: 'x' }, imported: importedOf(name) });
const rayText = readFileSync(new URL('../../config/import/ray/fixtures/marin.yaml', import.meta.url), 'utf8');
const rayYaml = importRay(rayText, {
  file: '/r.yaml',
  nodeType: nodeTypeIn(rayText),
  host: { memoryAvailableBytes: 2 ** 34, nvidia: false },
}).yaml;
const ray = (file: string): FoundRay => ({ file, imported: { yaml: rayYaml, notes: [] } });
const facts = (more: Partial<SetupFacts> = {}): SetupFacts => ({
  hostname: 'tpu-0',
  engine: { version: '28.0' },
  accelerators: [],
  gpus: null,
  containers: [],
  unread: [],
  rayFiles: [],
  joined: null,
  ...more,
});
const names = (choices: readonly { readonly name: string }[]): readonly string[] => choices.map(({ name }) => name);
const flags = (more: Partial<SetupFlags> = {}): SetupFlags => ({ config: '/etc/relight/agent.yaml', ...more });

/** A regular expression is for what is wrong with an answer. */
const orMatching = <T>(expected: T | RegExp): T => (expected instanceof RegExp ? (expect.stringMatching(expected) as T) : expected);

/** The first that is no head's. */
function nodeTypeIn(text: string): string {
  const { available_node_types: types, head_node_type: head } = parse(text) as { available_node_types: object; head_node_type: string };
  return Object.keys(types).find((type) => type !== head) ?? '';
}

describe('what is proposed', () => {
  it.each<[string, Partial<SetupFacts>, readonly string[]]>([
    ['all that run', { containers: [container('a'), container('b'), container('c', { running: false })] }, ['a', 'b']],
    ['those with accelerators before others', { containers: [container('a'), container('b', { usesAccelerators: true })] }, ['b']],
    ['none that somebody else keeps', { containers: [container('a', { keeper: 'unit x' })] }, []],
    ['none that replaces others', { containers: [container('watchtower', { isUpdater: true })] }, []],
    ['none that is ours, or has no name for us', { containers: [container('a', { isOurs: true }), container('x'.repeat(64))] }, []],
    ['none that would be made anew', { containers: [withRm('a')] }, []],
    ['the cluster file where no container is', { containers: [withRm('ray_docker')], rayFiles: [ray('/r.yaml')] }, ['/r.yaml']],
    ['the container before the cluster file', { containers: [container('a')], rayFiles: [ray('/r.yaml')] }, ['a']],
    ['none of two cluster files', { rayFiles: [ray('/r.yaml'), ray('/s.yaml')] }, []],
  ])('%s', (_, found, expected) => {
    expect(names(choicesOf(facts(found)).proposed)).toEqual(expected);
  });

  it('says what is left out, and why', () => {
    const { left } = choicesOf(
      facts({
        containers: [container('pod', { refusal: { why: 'it belongs to Kubernetes', advice: 'take it out' } })],
        rayFiles: [{ file: '/r.yaml', imported: { problem: 'two worker types', advice: 'Name it with --node-type.' } }],
      }),
    );
    expect(left).toEqual(['it belongs to Kubernetes → take it out', '/r.yaml: two worker types → Name it with --node-type.']);
  });
});

describe('an answer', () => {
  const choices = choicesOf(
    facts({ containers: [container('a'), container('b', { usesAccelerators: true })], rayFiles: [ray('/r.yaml')] }),
  );

  it.each<[string, readonly string[] | RegExp]>([
    ['', ['b']],
    ['none', []],
    ['all', ['a', 'b', '/r.yaml']],
    ['1, 3', ['a', '/r.yaml']],
    ['b 1 b', ['b', 'a']],
    ['4', /^4: not in the list/],
    ['a\u001b[2J', /not in the list/],
  ])('%j chooses %s', (answer, expected) => {
    const chosen = parseChoice(answer, choices);
    expect(typeof chosen === 'string' ? chosen : names(chosen)).toEqual(orMatching(expected));
  });

  it('takes no two that cannot stand together', () => {
    const both = choicesOf(facts({ containers: [withRm('ray_docker')], rayFiles: [ray('/r.yaml'), ray('/s.yaml')] })).all;
    const name = both.find(({ kind }) => kind === 'ray');
    if (name?.kind !== 'ray') throw new Error('no cluster file');
    expect(conflict(both.filter(({ kind }) => kind === 'ray'))).toContain('not both');
    const same = choicesOf(facts({ containers: [withRm(name.containerName)], rayFiles: [ray('/r.yaml')] })).all;
    expect(conflict(same)).toContain('choose one of both');
  });

  it.each<[string, object | null | RegExp]>([
    ['', null],
    ['none', null],
    ['$ sudo relight-agent join https://c:7460 rlj_a --fingerprint 3f5a', { url: 'https://c:7460', token: 'rlj_a', fingerprint: '3f5a' }],
    ['https://c rlj_a --ca-file=/ca.pem --allow-plaintext', { url: 'https://c', token: 'rlj_a', caFile: '/ca.pem', allowPlaintext: true }],
    ['https://c', /Needed are an address and a join token/],
    ['https://c rlo_x', /join token/],
    ['https://c rlj_a --host x', /^--host is not known here/],
  ])('%j is a collector', (answer, expected) => {
    const join = parseJoin(answer);
    expect(join).toEqual(orMatching(expected));
  });

  it.each<[string, string, object | RegExp]>([
    ['', 'tpu-0', { name: 'tpu-0', labels: {} }],
    ['pool=v5e', 'tpu-0', { name: 'tpu-0', labels: { pool: 'v5e' } }],
    ['w-1 pool=a=b zone=z', 'localhost', { name: 'w-1', labels: { pool: 'a=b', zone: 'z' } }],
    ['', 'localhost.localdomain', /give a name/],
    ['a b', 'h', /one name is needed/],
    ['a/b', 'h', /is not a name/],
    ['pool=', 'h', /is not a label/],
    ['__proto__=x', 'h', /is not a label/],
    ['a=1 a=2', 'h', /given twice/],
  ])('%j on %s is a host', (answer, hostname, expected) => {
    const host = parseHost(answer, hostname);
    expect(host).toEqual(orMatching(expected));
  });
});

describe('without a terminal', () => {
  const found = facts({ containers: [container('a')] });
  const answer = (more: Partial<SetupFlags>, on = found) => answersOf(on, choicesOf(on), flags(more), null);

  it('names every flag that is missing', async () => {
    await expect(answer({})).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringMatching(/--container NAME, --ray-yaml FILE or --no-workloads.*--collector URL .*--no-collector/) as string,
      advice: expect.stringContaining('--yes') as string,
    });
    await expect(answer({ container: ['a'], collector: false }, facts({ ...found, hostname: 'localhost' }))).rejects.toMatchObject({
      message: expect.stringContaining('--host NAME') as string,
    });
  });

  it('needs none where flags say all, and takes what is proposed with --yes', async () => {
    expect(await answer({ container: ['a'], collector: false })).toMatchObject({ join: null, host: { name: 'tpu-0', labels: {} } });
    const { chosen } = await answer({ yes: true });
    expect(names(chosen)).toEqual(['a']);
    // A host that has joined is not asked again.
    expect((await answer({ workloads: false }, facts({ joined: 'https://c' }))).chosen).toEqual([]);
  });

  it.each<[Partial<SetupFlags>, string, string]>([
    [{ container: ['b'] }, 'not-found', 'no container named "b"'],
    [{ container: ['../b'] }, 'usage', 'no name of a container'],
    [{ collector: 'https://c' }, 'usage', '--collector needs --join-token (-: from stdin) or --token-file'],
    [{ joinToken: 'rlj_a' }, 'usage', '--join-token, --token-file, --fingerprint and --ca-file belong to --collector'],
    [{ workloads: false, container: ['a'] }, 'usage', '--no-workloads does not go with'],
    [{ label: ['x'] }, 'usage', 'x: --host takes a name, --label key=value'],
    [{ rayYaml: '/none.yaml' }, 'config-unreadable', 'no such file'],
  ])('%j is refused', async (more, code, message) => {
    await expect(answer({ yes: true, ...more })).rejects.toMatchObject({ code, message: expect.stringContaining(message) as string });
  });

  it('says why a container cannot be kept', async () => {
    const pod = facts({ containers: [container('pod', { refusal: { why: 'it belongs to Kubernetes', advice: 'Take it out.' } })] });
    await expect(answer({ yes: true, container: ['pod'] }, pod)).rejects.toMatchObject({
      code: 'cannot-adopt',
      message: 'it belongs to Kubernetes',
      advice: 'Take it out.',
    });
  });

  it('waits for a container that nobody can see while the engine is away', async () => {
    const away = facts({ engine: { problem: 'no engine', advice: 'start it' } });
    expect(names((await answer({ yes: true, container: ['later'] }, away)).chosen)).toEqual(['later']);
  });
});

describe('the file', () => {
  const plan = (found: SetupFacts, more: Partial<SetupPlan> = {}): SetupPlan => ({
    file: '/etc/relight/agent.yaml',
    facts: found,
    chosen: choicesOf(found).proposed,
    host: { name: found.hostname, labels: {} },
    collector: null,
    stateDir: null,
    socket: null,
    ...more,
  });

  it('reads well', () => {
    const found = facts({ accelerators: ['8 × NVIDIA H100'], gpus: 8, containers: [container('trainer', { usesAccelerators: true })] });
    expect(setupYaml(plan(found, { host: { name: 'gpu-7', labels: { pool: 'h100' } }, collector: 'https://c:7460' }))).toBe(`\
# The Relight agent of gpu-7; written by "relight-agent setup". The agent takes up a change of this file by itself.
#   relight-agent check --config /etc/relight/agent.yaml    what is missing on this host
#   relight-agent plan --config /etc/relight/agent.yaml     what would be done, and what a change would restart
#
# Seen on this host: 8 × NVIDIA H100.
# To be told when it boots with fewer GPUs: host: {accelerators: {gpus: 8}}
# It reports to https://c:7460, which it has joined; a collector: section here would win over that.
version: 1
host:
  name: gpu-7
  labels:
    pool: h100
workloads:
  # Image img:1. Taken over as it runs, and made again exactly when it dies.
  - name: trainer
    container: { adopt: trainer }
    # What makes it useful is for you to say: process:, setup:, mounts:, ready: and live: checks. For instance
    # ready: [{tcp: "127.0.0.1:8080"}]
`);
  });

  it('has examples that hold when the number sign is taken away', () => {
    const text = setupYaml(plan(facts({ containers: [container('a')] })));
    const spec = parseConfig(text.replace('# host:', 'host:').replace('# ready:', 'ready:'), '/a.yaml', { hostname: 'h' });
    expect(spec).toMatchObject({ host: { name: 'tpu-v5e-0' }, workloads: [{ ready: [{ probe: { kind: 'tcp' } }] }] });
  });

  it('keeps what a cluster file brings, and a container as it is imported', () => {
    const found = facts({ containers: [withRm('side')], rayFiles: [ray('/r.yaml')] });
    const text = setupYaml(plan(found, { chosen: choicesOf(found).all, host: { name: 'w', labels: { a: '1' } } }));
    const written = parse(text) as { host: Record<string, unknown>; vars: object; workloads: readonly object[] };
    const [worker] = found.rayFiles;
    if (worker === undefined || !('yaml' in worker.imported)) throw new Error('no import');
    const imported = parse(worker.imported.yaml) as { host: object; vars: object; workloads: readonly object[] };
    const side = parse(importedOf('side').yaml) as { workloads: readonly object[] };
    expect(written).toEqual({
      ...imported,
      host: { name: 'w', labels: { a: '1' }, ...imported.host },
      workloads: [...imported.workloads, ...side.workloads],
    });
  });

  /** Whatever the engine, the file system and people may have called their things. */
  const odd = fc.oneof(
    fc.string({ unit: 'grapheme' }),
    fc.string({ unit: 'binary' }),
    fc.constantFrom('a: b', '# x', '${HOME}', 'a\nb: c', '\u2028x', '123', 'true', 'null'),
  );
  const dockerName = fc.oneof(
    fc.stringMatching(/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,70}$/),
    fc.constantFrom('1', 'true', 'null', '0x1', '1e3', 'ray-worker', 'a', 'a-2'),
  );
  const anyContainer = fc.record({
    name: fc.oneof(dockerName, odd),
    image: odd,
    usesAccelerators: fc.boolean(),
    keeper: fc.option(odd),
    rm: fc.boolean(),
  });
  const anyHost = fc.record({
    name: dockerName.filter(isName),
    labels: fc.dictionary(
      dockerName.filter(isName),
      fc.oneof(fc.string({ minLength: 1 }), fc.constantFrom('1', 'true', 'a: b', '# c', "it's", '"')),
    ),
  });

  it('is one that the agent takes, whatever was found and answered', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(anyContainer, { maxLength: 5, selector: ({ name }) => name }),
        fc.boolean(),
        fc.array(odd, { maxLength: 3 }),
        fc.option(fc.nat(16)),
        anyHost,
        fc.option(odd),
        fc.record({ stateDir: fc.constantFrom(null, '/srv/state'), socket: fc.constantFrom(null, '/run/other.sock') }),
        (containers, withRay, accelerators, gpus, host, collector, places) => {
          const found = facts({
            accelerators,
            gpus,
            containers: containers.map(({ rm, name, ...rest }) =>
              rm && isName(name) ? { ...withRm(name), ...rest } : container(name, rest),
            ),
            rayFiles: withRay ? [ray('/home/x/ray cluster.yaml')] : [],
          });
          const all = choicesOf(found).all.filter(
            (choice, _, others) => conflict([...others.filter(({ kind }) => kind === 'ray'), choice]) === null || choice.kind === 'ray',
          );
          const spec = parseConfig(setupYaml(plan(found, { chosen: all, host, collector, ...places })), '/etc/relight/agent.yaml', {
            hostname: found.hostname,
          });
          expect(spec.host).toMatchObject({ name: host.name, labels: host.labels });
          expect(spec.stateDir).toBe(places.stateDir ?? '/var/lib/relight');
          expect(spec.engine.socket).toBe(places.socket ?? '/var/run/docker.sock');
          expect(spec.collector).toBeNull();
          const kept = spec.workloads.map((workload) => workload.container.name).toSorted();
          expect(kept).toEqual(all.map((choice) => (choice.kind === 'ray' ? choice.containerName : choice.name)).toSorted());
          const adopted = spec.workloads.flatMap((workload) => workload.container.adopt ?? []).toSorted();
          expect(adopted).toEqual(names(all.filter(({ kind }) => kind === 'adopt')).toSorted());
        },
      ),
    );
  });
});

describe('what to do next', () => {
  const situation: Situation = {
    file: '/etc/relight/agent.yaml',
    isServiceFile: true,
    service: 'stopped',
    chosen: [],
    running: new Set(),
    ours: [],
    hasCollector: true,
    joinedNow: true,
    checkFailed: false,
  };

  it.each<[Partial<Situation>, string | undefined]>([
    [{}, 'systemctl enable --now --no-reload relight-agent'],
    [{ service: 'running' }, 'systemctl restart relight-agent'],
    [{ service: 'running', joinedNow: false }, undefined],
    [{ service: 'none' }, undefined],
    [{ isServiceFile: false }, undefined],
  ])('%j is started by %s', (more, expected) => {
    expect(startCommand({ ...situation, ...more })?.join(' ')).toBe(expected);
  });

  it('is said in commands', () => {
    const found = facts({ containers: [withRm('once')] });
    const steps = nextSteps(
      { ...situation, service: 'none', chosen: choicesOf(found).all, running: new Set(['once']), hasCollector: false, checkFailed: true },
      false,
    ).join('\n');
    expect(steps).toMatch(
      /relight-agent check --config \/etc.*\n.*relight-agent plan.*\n.*docker rm -f once\n.*relight-agent run --config \/etc.*\n.*relight-agent join URL/,
    );
    expect(nextSteps(situation, true).at(-1)).toBe('see what the agent does: relight-agent status');
  });
});

describe('cluster files', () => {
  it.each([
    [rayText, true],
    ['cluster_name: x\nprovider: {type: gcp}\n', true],
    ['version: 1\nworkloads: []\n', false],
    ['services:\n  provider: {}\n  cluster_name: x\n', false],
    ['', false],
  ])('are known by their keys', (text, expected) => {
    expect(looksLikeRay(text)).toBe(expected);
  });

  it('are looked for at home, also of who has called sudo, and nowhere else because of an odd name', () => {
    expect(usualRayPlaces('/srv', '/root', 'ann').map(({ directory }) => directory)).toEqual([
      '/etc/relight',
      '/srv',
      '/root',
      '/home/ann',
    ]);
    expect(usualRayPlaces('/srv', '/root', '../etc')).toHaveLength(3);
  });
});
