import { RelightError } from '@relight/shared/errors';
import { ManualClock } from '@relight/shared/manual-clock';
import { describe, expect, test } from 'vitest';
import { waitFor } from '../../../test/support/wait.ts';
import { workloadFixture } from '../../../test/support/specs.ts';
import { ConfigReload } from './config-reload.ts';
import { parseConfig } from './config/load.ts';
import type { AgentSpec, WorkloadSpec } from './config/spec.ts';
import type { ReportedCondition } from './host/conditions.ts';

const bare = parseConfig('version: 1\nworkloads: []\n', '/etc/relight/agent.yaml', { hostname: 'h' });
const withWorkloads = (...workloads: readonly WorkloadSpec[]): AgentSpec => ({ ...bare, workloads });
const one = workloadFixture({ name: 'one' });
const two = workloadFixture({ name: 'two' });

function world(started: AgentSpec, start = true) {
  const clock = new ManualClock();
  const file = { spec: started as AgentSpec | Error, identity: 'first' as string | null, reads: 0, reading: Promise.resolve() };
  const told: string[] = [];
  let current = started;
  let waiting: ReadonlyMap<string, WorkloadSpec> = new Map();
  let conditions: readonly ReportedCondition[] = [];
  let busy: string | null = null;
  let over = 0;
  let applied = Promise.resolve();
  const reload = new ConfigReload({
    clock,
    current: () => current,
    inForce: () => waiting,
    stateDirGiven: false,
    load: async () => {
      file.reads += 1;
      await file.reading;
      if (file.spec instanceof Error) throw file.spec;
      return file.spec;
    },
    identity: () => Promise.resolve(file.identity),
    absentImages: (images) => Promise.resolve(new Set(images.filter((image) => image.startsWith('absent')))),
    apply: (spec) => {
      current = spec;
      waiting = new Map();
      return applied;
    },
    startOver: () => {
      if (busy === null) over += 1;
      return busy;
    },
    emit: ({ message, workload }) => void told.push(`${workload ?? '-'}: ${message}`),
    report: (list) => {
      conditions = list;
    },
    log: () => {},
  });
  if (start) reload.start();
  return {
    clock,
    file,
    told,
    reload,
    current: () => current,
    waits: (inForce: ReadonlyMap<string, WorkloadSpec>) => {
      waiting = inForce;
    },
    conditions: () => conditions,
    occupied: (what: string | null) => {
      busy = what;
    },
    over: () => over,
    /** Taking it up lasts as long as this does. */
    applyingLasts: (work: Promise<void>) => {
      applied = work;
    },
    /** The file is looked at once more. */
    look: async () => {
      await waitFor(() => clock.pendingTimers > 0, { what: 'the next look to be due' });
      clock.advance(1_000);
      await waitFor(() => clock.pendingTimers > 0, { what: 'the look to end' });
    },
  };
}

test('a file is read when it looks the same twice, and then only when it is another one', async () => {
  const { file, look, told } = world(withWorkloads(one));
  await look();
  await look();
  expect(file.reads).toBe(1);
  file.identity = 'half written';
  await look();
  file.identity = 'written';
  file.spec = withWorkloads({ ...one, readyWindowMs: 1 });
  await look();
  expect(file.reads).toBe(1);
  await look();
  await look();
  expect(file.reads).toBe(2);
  expect(told).toEqual(['one: the configuration was read again (its file changed): workload one: restarts nothing (ready_window)']);
});

test('each workload that changed is told, and no other', async () => {
  const { file, reload, told, current } = world(withWorkloads(one, two));
  const process = { run: { text: 'other' }, before: null, stopTimeoutMs: 10_000, maxRuntimeMs: null };
  file.spec = withWorkloads({ ...two, process }, workloadFixture({ name: 'three' }));
  expect(await reload.reload('signal')).toMatchObject({ result: 'applied' });
  expect(told.map((line) => line.replace(/the configuration.*?\): /, ''))).toEqual([
    'two: workload two: restarts the process (process.run)',
    'three: workload three is added',
    'one: workload one is removed: its container goes on, unsupervised (host.orphans)',
  ]);
  expect(current().workloads.map(({ name }) => name)).toEqual(['two', 'three']);
  expect(await reload.reload('signal')).toEqual({ result: 'unchanged', lines: ['nothing is different'] });
});

test('what cannot be read or used changes nothing, and is said until it can', async () => {
  const { file, reload, current, conditions } = world(withWorkloads(one));
  file.spec = new RelightError('config-invalid', 'agent.yaml:3:1: workloads: is required');
  expect(await reload.reload('signal')).toMatchObject({ result: 'refused' });
  expect(current().workloads).toEqual([one]);
  expect(conditions()).toMatchObject([{ name: 'configuration-refused', subject: '/etc/relight/agent.yaml', severity: 'warning' }]);
  expect(conditions()[0]?.reason).toContain('agent.yaml:3:1: workloads: is required');
  expect(reload.status().refused?.reason).toContain('workloads: is required');
  file.spec = { ...withWorkloads(one), stateDir: '/elsewhere' };
  expect((await reload.reload('signal')).lines[0]).toContain('state_dir cannot change');
  file.spec = withWorkloads(one);
  expect(await reload.reload('signal')).toMatchObject({ result: 'unchanged' });
  expect(conditions()).toEqual([]);
  expect(reload.status().refused).toBeNull();
});

test('a dry run says what would be done and does nothing', async () => {
  const { file, reload, current, conditions, told } = world(withWorkloads(one));
  file.spec = withWorkloads(one, two);
  expect(await reload.reload('command', true)).toEqual({ result: 'would-apply', lines: ['workload two is added'] });
  file.spec = new RelightError('config-unreadable', 'gone');
  expect(await reload.reload('command', true)).toMatchObject({ result: 'refused' });
  expect([current().workloads, conditions(), told, reload.status().refused]).toEqual([[one], [], [], null]);
});

test('a dry run says of the image of a new container that it is not here: what runs goes on until it is', async () => {
  const { file, reload } = world(withWorkloads(one, two));
  const of = (image: string): WorkloadSpec => workloadFixture({ name: 'one' }, { image });
  file.spec = withWorkloads(of('absent:2'), two);
  expect((await reload.reload('command', true)).lines).toEqual([
    'workload one: makes a new container (container.image)',
    'workload one: the image absent:2 is not on this host: a container that runs goes on under the configuration before, until it is pulled',
  ]);
  file.spec = withWorkloads(of('here:2'), two);
  expect((await reload.reload('command', true)).lines).toEqual(['workload one: makes a new container (container.image)']);
});

describe('while a configuration waits for its image', () => {
  const of = (image: string, more: Partial<WorkloadSpec> = {}): WorkloadSpec => workloadFixture({ name: 'one', ...more }, { image });
  const still = 'workload one: the image absent:2 is not on this host';

  function waitingWorld(): ReturnType<typeof world> {
    const w = world(withWorkloads(of('absent:2'), two));
    w.waits(new Map([['one', one]]));
    return w;
  }

  test('the same file again: nothing is different, and it still waits', async () => {
    const { reload, told } = waitingWorld();
    for (const dryRun of [true, false])
      expect(await reload.reload('command', dryRun)).toEqual({
        result: 'unchanged',
        lines: ['nothing is different', expect.stringContaining(still) as string],
      });
    expect(told).toEqual([]);
  });

  test('its image is here and it is paused: nobody says that the image is not', async () => {
    const { reload, waits } = world(withWorkloads(of('here:2'), two));
    waits(new Map([['one', one]]));
    const line = 'workload one: a container that runs goes on under the configuration before; relight-agent status says until when';
    expect(await reload.reload('command')).toEqual({ result: 'unchanged', lines: ['nothing is different', line] });
  });

  test('the file as it was before restarts nothing, and is said to', async () => {
    const { file, reload, told, current } = waitingWorld();
    file.spec = withWorkloads(one, two);
    const line = 'workload one: goes on as it is; the configuration that waited for its image is withdrawn';
    expect(await reload.reload('command', true)).toEqual({ result: 'would-apply', lines: [line] });
    expect(await reload.reload('file')).toMatchObject({ result: 'applied', lines: [line] });
    expect(told).toEqual([expect.stringContaining(line)]);
    expect(current().workloads[0]).toEqual(one);
  });

  test('a third configuration is compared with what runs, not with what waits', async () => {
    const { file, reload } = waitingWorld();
    file.spec = withWorkloads(of('image:1', { readyWindowMs: 1 }), two);
    expect((await reload.reload('command', true)).lines).toEqual(['workload one: restarts nothing (ready_window)']);
    file.spec = withWorkloads(of('absent:3'), two);
    expect((await reload.reload('command', true)).lines).toEqual([
      'workload one: makes a new container (container.image)',
      expect.stringContaining('the image absent:3 is not on this host'),
    ]);
  });
});

test('another group that may ask the agent is for its next life', async () => {
  const { file, reload } = world(withWorkloads(one));
  file.spec = { ...withWorkloads(one), control: { group: { name: 'adm', id: 4 } } };
  expect(await reload.reload('command', true)).toEqual({
    result: 'would-apply',
    lines: ['control.group: the agent starts over by itself; what runs goes on'],
  });
});

test('a group that is known only now, or is not known now, is the same one', async () => {
  const withGroup = (name: string, id: number | null): AgentSpec => ({ ...withWorkloads(one), control: { group: { name, id } } });
  for (const [before, after] of [
    [null, 4],
    [4, null],
    [null, null],
  ] as const) {
    const { file, reload } = world(withGroup('research', before));
    file.spec = withGroup('research', after);
    expect(await reload.reload('command')).toMatchObject({ result: 'unchanged' });
    file.spec = withGroup('adm', after);
    expect(await reload.reload('command')).toMatchObject({ result: 'applied' });
  }
  const { file, reload } = world(withGroup('research', 4));
  file.spec = withGroup('research', 5);
  expect(await reload.reload('command')).toMatchObject({ result: 'applied' });
});

test('where a file is wrong is told apart from what stands there', async () => {
  const { file, reload } = world(withWorkloads(one));
  const places = ['agent.yaml:3:1: workloads'];
  file.spec = new RelightError('config-invalid', 'agent.yaml:3:1: workloads: must be a list, not "hunter2"', { data: { places } });
  expect(await reload.reload('command', true)).toMatchObject({ result: 'refused', places });
  expect(await reload.reload('command')).toMatchObject({ result: 'refused', places });
  expect(reload.status().refused?.places).toEqual(places);
});

test('the collector, whose readers are not root of this host, is told where a file is wrong, and not what stands there', async () => {
  const { file, reload, conditions } = world(withWorkloads(one));
  file.spec = new RelightError(
    'config-invalid',
    'agent.yaml:3:1: workloads: must be a list, not "hunter2"\nagent.yaml:4:1: hunter2: unknown',
    {
      data: { places: ['agent.yaml:3:1: workloads', 'agent.yaml:4:1'] },
    },
  );
  await reload.reload('file');
  expect(conditions()[0]?.reason).toMatch(/: agent\.yaml:3:1: workloads: is not valid; agent\.yaml:4:1: is not valid$/);
  file.spec = { ...withWorkloads(one), stateDir: '/hunter2' };
  await reload.reload('file');
  expect(conditions()[0]?.reason).toMatch(/: \/etc\/relight\/agent\.yaml: state_dir: is not valid$/);
  expect(JSON.stringify(conditions())).not.toContain('hunter2');
});

test('the host itself is another one: workloads take up theirs at once, the agent starts over when nothing is under way', async () => {
  const { file, reload, current, occupied, over, look } = world(withWorkloads(one));
  const host = { ...bare.host, labels: { pool: 'b' } };
  occupied('one: setup 2/5');
  file.spec = { ...withWorkloads({ ...one, readyWindowMs: 1 }), host };
  expect((await reload.reload('signal')).lines).toEqual([
    'workload one: restarts nothing (ready_window)',
    'host.labels: the agent starts over by itself; what runs goes on',
  ]);
  expect(current().workloads[0]?.readyWindowMs).toBe(1);
  expect(current().host.labels).toEqual({});
  expect(over()).toBe(0);
  await look();
  expect(reload.status().pending).toBe('host.labels: the agent starts over when one: setup 2/5 is done');
  await look();
  expect(over()).toBe(0);
  occupied(null);
  await look();
  expect(over()).toBe(1);
});

test('what is put back before the agent has started over needs no start', async () => {
  const { file, reload, occupied, over, look } = world(withWorkloads(one));
  occupied('one: pull');
  file.spec = { ...withWorkloads(one), collector: { url: 'http://c', tokenFile: null, caFile: null, fingerprint: null, joinedFile: null } };
  await reload.reload('signal');
  file.spec = withWorkloads(one);
  await reload.reload('signal');
  occupied(null);
  await look();
  expect([over(), reload.status().pending]).toEqual([0, null]);
});

const relabelled = { ...bare, host: { ...bare.host, labels: { pool: 'b' } } };

test('a start that is pending does not go ahead into a file that is broken, being written, or gone', async () => {
  const { file, reload, occupied, over, look } = world(withWorkloads(one));
  occupied('one: pull');
  file.spec = { ...relabelled, workloads: [one] };
  await reload.reload('signal');
  await look();
  expect(reload.status().pending).toContain('when one: pull is done');
  file.identity = 'being written';
  file.spec = new RelightError('config-invalid', 'agent.yaml:3:1: not YAML');
  occupied(null);
  await look();
  expect(over()).toBe(0);
  await look();
  expect(reload.status().refused?.reason).toContain('not YAML');
  await look();
  await look();
  expect([over(), reload.status().pending]).toEqual([0, null]);
  file.spec = { ...relabelled, workloads: [one] };
  file.identity = 'repaired';
  await look();
  await look();
  expect(over()).toBe(0);
  await look();
  expect(over()).toBe(1);
});

test('nor into one with another state directory, which the next life would take', async () => {
  const { file, reload, occupied, over, look } = world(withWorkloads(one));
  occupied('one: pull');
  file.spec = { ...relabelled, workloads: [one] };
  await reload.reload('signal');
  file.spec = { ...relabelled, workloads: [one], stateDir: '/elsewhere' };
  await reload.reload('signal');
  occupied(null);
  await look();
  await look();
  await look();
  expect([over(), reload.status().refused?.reason]).toEqual([0, expect.stringContaining('state_dir cannot change')]);
});

test('it starts over only when all that can be taken up at once was', async () => {
  const { file, reload, applyingLasts, over, look } = world(withWorkloads(one));
  let done = (): void => {};
  applyingLasts(
    new Promise((resolve) => {
      done = resolve;
    }),
  );
  file.spec = { ...relabelled, workloads: [two] };
  const outcome = reload.reload('command');
  await look();
  expect(over()).toBe(0);
  done();
  expect(await outcome).toMatchObject({ result: 'applied' });
});

test('nothing is taken up before the agent is up', async () => {
  const { file, reload, current } = world(withWorkloads(one), false);
  file.spec = withWorkloads(two);
  const outcome = reload.reload('signal');
  await new Promise((resolve) => setImmediate(resolve));
  expect(current().workloads).toEqual([one]);
  reload.start();
  expect(await outcome).toMatchObject({ result: 'applied' });
  expect(current().workloads).toEqual([two]);
});

test('an agent that stops while its configuration is read takes nothing up', async () => {
  const { file, reload, told, current } = world(withWorkloads(one));
  file.spec = withWorkloads(one, two);
  const { promise, resolve } = Promise.withResolvers<void>();
  file.reading = promise;
  const asked = reload.reload('signal');
  await waitFor(() => file.reads === 1, { what: 'the file to be read' });
  reload.stop();
  resolve();
  expect(await asked).toMatchObject({ result: 'refused', lines: ['the agent stops'] });
  expect(current().workloads).toEqual([one]);
  expect(told).toEqual([]);
});
