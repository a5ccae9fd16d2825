import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { systemClock } from '@relight/shared/clock';
import { evidenceBytesMax, type EvidenceItem, type Incident } from '@relight/shared/incident';
import { ManualClock } from '@relight/shared/manual-clock';
import { SecretValues } from '../config/secret-values.ts';
import { emptyBook, take } from './book.ts';
import { containerEvidence, withoutValues } from './container-evidence.ts';
import { fit, gatherEvidence, type EvidenceSource, type Subject } from './evidence.ts';
import { Gatherer } from './gatherer.ts';
import { hostEvidence } from './host-evidence.ts';
import { IncidentStore } from './store.ts';
import type { BookEvent } from './timeline.ts';

const subject: Subject = { workload: 'w', generation: 1, container: { id: 'f'.repeat(64), pid: 0 }, lines: 500 };

const source = (name: string, read: EvidenceSource['read'], light = false): EvidenceSource => ({
  name,
  title: name,
  light,
  afterMs: 0,
  needsContainer: false,
  read,
});
const says = (name: string, text: string, light = false): EvidenceSource =>
  source(name, () => Promise.resolve([{ text, keep: 'end' }]), light);

type Found = Omit<EvidenceItem, 'bytes'> & { readonly text: string | null };

async function gather(
  sources: readonly EvidenceSource[],
  more: { bytesMax?: number; redact?: (text: string) => string } = {},
): Promise<Found[]> {
  const found: Found[] = [];
  const options = { clock: systemClock, bytesMax: 512 * 1024, redact: String, ...more };
  await gatherEvidence(subject, { ...options, sources, found: (item, text) => found.push({ ...item, text }) });
  return found;
}

const incident = (id: string, workload = 'w'): Incident => {
  const event: BookEvent = { at: 0, kind: 'container.died', severity: 'error', message: 'died', data: {}, workload };
  const { opened } = take(emptyBook, event, { freshId: id, workloads: [workload] });
  if (opened === null) throw new Error('a death opens an incident');
  return opened;
};

describe('gathering', () => {
  test('a source that fails, and one that never answers, say so; the others are there', async () => {
    const clock = new ManualClock();
    const found: Found[] = [];
    const done = gatherEvidence(subject, {
      clock,
      bytesMax: 1_000,
      redact: String,
      sources: [
        says('good', 'text'),
        source('broken', () => Promise.reject(new Error('no such thing'))),
        source('stuck', () => new Promise(() => {})),
      ],
      found: (item, text) => found.push({ ...item, text }),
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(found.map(({ name }) => name)).toEqual(['good', 'broken']);
    clock.advance(10_000);
    await done;
    expect(found).toMatchObject([{ text: 'text' }, { text: null, error: 'no such thing' }, { text: null, error: 'no answer within 8 s' }]);
  });

  test('bounded: each piece, and all together', async () => {
    const found = await gather(Array.from({ length: 8 }, (_, index) => says(`s${index}`, 'x'.repeat(3 * evidenceBytesMax))));
    const bytes = found.map(({ text }) => Buffer.byteLength(text ?? ''));
    expect(Math.max(...bytes)).toBeLessThanOrEqual(evidenceBytesMax);
    expect(bytes.reduce((sum, one) => sum + one, 0)).toBeLessThanOrEqual(512 * 1024);
    expect(found[0]?.truncatedBytes).toBe(2 * evidenceBytesMax);
  });

  test('no secret of the workload, wherever it stands', async () => {
    const secrets = new SecretValues([]);
    secrets.learn(['hunter2-password', '-----BEGIN KEY-----\nabcdefgh\n-----END KEY-----']);
    const redact = (text: string): string => secrets.text(text);
    const leaking = source('leak of hunter2-password', () => Promise.reject(new Error('it said hunter2-password')));
    const found = await gather([says('log', 'token=hunter2-password\nabcdefgh'), leaking], { redact });
    expect(JSON.stringify(found)).not.toMatch(/hunter2|abcdefgh/);
    expect(found[0]?.text).toContain('[redacted]');
  });

  test('cut text is whole lines of whole characters', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary', maxLength: 300 }),
        fc.nat(400),
        fc.constantFrom('start' as const, 'end' as const),
        (text, max, keep) => {
          const clean = Buffer.from(text).toString('utf8');
          const { text: kept, truncatedBytes } = fit(clean, max, keep);
          expect(Buffer.byteLength(kept)).toBeLessThanOrEqual(max);
          expect(Buffer.byteLength(kept) + truncatedBytes).toBe(Buffer.byteLength(clean));
        },
      ),
    );
    expect(fit('one\ntwo\nthree', 9, 'end').text).toBe('three');
    expect(fit('one\ntwo\nthree', 9, 'start').text).toBe('one\ntwo\n');
  });
});

describe('what a container leaves', () => {
  const scratch = (): string => mkdtempSync(join(tmpdir(), 'relight-evidence-'));

  test('the last lines of the newest run of each kind, and of its own log', async () => {
    const runRoot = scratch();
    const directory = join(runRoot, 'w', '1');
    mkdirSync(directory, { recursive: true });
    for (const [name, text] of [
      ['1.setup-keys.log', 'keys\n'],
      ['2.mount-data.log', 'mounted\n'],
      ['3.process.log', 'first run\n'],
      ['4.process.log', `${Array.from({ length: 900 }, (_, index) => `line ${index}`).join('\n')}\n`],
    ] as const)
      writeFileSync(join(directory, name), text);
    const logPath = join(runRoot, 'c-json.log');
    writeFileSync(
      logPath,
      `${JSON.stringify({ log: 'from inside\n', stream: 'stderr', time: '2026-01-31T12:00:00.123456789Z' })}\n{"log":"cut`,
    );
    const engine = {
      inspect: () => Promise.resolve({ logDriver: 'json-file', logPath } as never),
      inspectRaw: () => Promise.resolve({ Id: 'x', State: { ExitCode: 1 }, Config: { Image: 'i', Env: ['TOKEN=secret', 'PATH=/bin'] } }),
    };
    const found = await gather(containerEvidence({ engine, runRoot }));
    const text = (name: string): string => found.find((item) => item.name === name)?.text ?? '';
    expect(text('log:process').split('\n')).toHaveLength(500);
    expect(text('log:process')).toMatch(/line 899$/);
    expect(text('log:setup-keys')).toBe('keys');
    expect(text('log:mount-data')).toBe('mounted');
    expect(text('log:container')).toBe('2026-01-31T12:00:00.123Z  from inside');
    expect(JSON.parse(text('inspect'))).toMatchObject({ State: { ExitCode: 1 }, Config: { Env: ['TOKEN=[redacted]', 'PATH=[redacted]'] } });
    expect(found.find(({ name }) => name === 'processes')?.error).toContain('dead already');
  });

  test('however many names its runs have, a few of them, with the last start of each', async () => {
    const runRoot = scratch();
    const directory = join(runRoot, 'w', '1');
    mkdirSync(directory, { recursive: true });
    for (const source of ['process', 'mount', 'setup'])
      for (let n = 1; n <= 40; n += 1) writeFileSync(join(directory, `${n}.${source}-${n}.log`), `${n}\n`);
    for (const start of [10, 9, 2]) writeFileSync(join(directory, `40.setup-40~${start}.log`), `start ${start}\n`);
    // Of another container, and not looked at.
    mkdirSync(join(runRoot, 'w', '2'));
    writeFileSync(join(runRoot, 'w', '2', '99.process.log'), 'other\n');
    const engine = { inspect: () => Promise.resolve(null), inspectRaw: () => Promise.resolve(null) };
    const found = await gather(containerEvidence({ engine, runRoot }).filter(({ name }) => name === 'log:run'));
    const last = (count: number, source: string): string[] => Array.from({ length: count }, (_, index) => `log:${source}-${40 - index}`);
    expect(found.map(({ name }) => name).toSorted()).toEqual([...last(8, 'process'), ...last(8, 'mount'), ...last(3, 'setup')].toSorted());
    expect(found.find(({ name }) => name === 'log:setup-40')?.text).toBe('start 10');
  });

  test('its processes while it lives, found by their cgroup', async () => {
    const procRoot = scratch();
    mkdirSync(join(procRoot, '7'));
    writeFileSync(join(procRoot, '7', 'cgroup'), `0::/docker/${'f'.repeat(64)}\n`);
    writeFileSync(join(procRoot, '7', 'stat'), `7 (python3) S 1 7 7 ${'0 '.repeat(15)}99 0\n`);
    writeFileSync(join(procRoot, '7', 'statm'), '100 50 0 0 0 0 0\n');
    const engine = { inspect: () => Promise.resolve(null), inspectRaw: () => Promise.resolve(null) };
    const found = await gather(containerEvidence({ engine, runRoot: procRoot, procRoot }));
    expect(found.find(({ name }) => name === 'processes')?.text).toMatch(/7 {2}S +200\.0 KiB {2}python3$/);
    expect(found.find(({ name }) => name === 'inspect')?.error).toBe('the container is gone');
  });

  test('a document of another shape holds no values either', () => {
    expect(JSON.stringify(withoutValues({ Config: { Env: 'A=secret' } }))).not.toContain('secret');
    expect(withoutValues({ Config: null })).toEqual({});
  });
});

test('what the host has to say: here, now, each with its text or its reason', async () => {
  const kernelLines = (): { at: number; text: string }[] => [{ at: 0, text: 'Out of memory: Killed process 1' }];
  const found = await gather(
    hostEvidence({ clock: systemClock, kernelLines, disks: ['/'], metrics: () => [{ at: 0, load1: 1, disks: [] }] }),
  );
  expect(found.map(({ name }) => name).toSorted()).toEqual(['disks', 'engine', 'gpus', 'kernel', 'memory', 'metrics', 'mounts']);
  for (const { text, error } of found) expect(text ?? error).not.toBe('');
  expect(found.find(({ name }) => name === 'kernel')?.text).toBe('1970-01-01T00:00:00.000Z  Out of memory: Killed process 1');
  expect(found.find(({ name }) => name === 'memory')?.text).toContain('MemAvailable');
});

describe('rationing', () => {
  function rationed() {
    const clock = new ManualClock();
    const found: { readonly id: string; readonly name: string; readonly text: string | null }[] = [];
    let release: () => void = () => {};
    const gate = new Promise<void>((resolve) => (release = resolve));
    const gatherer = new Gatherer({
      clock,
      sources: [says('heavy', 'x'), says('light', 'x', true), source('slow', () => gate.then(() => []), true)],
      redact: String,
      containerOf: () => ({ id: 'c1', pid: 1 }),
      found: (id, { name }, text) => found.push({ id, name, text }),
    });
    return { clock, gatherer, found, release };
  }
  const deathOf = (workload: string): BookEvent => ({
    at: 0,
    kind: 'container.died',
    severity: 'error',
    message: '',
    data: { containerId: 'c1' },
    workload,
  });

  test('a crash loop: everything for three, last lines for seven, and then nothing but the reason', async () => {
    const { clock, gatherer, found, release } = rationed();
    release();
    for (let n = 0; n < 30; n += 1) {
      gatherer.consider(incident(`incident-${n}`), deathOf('w'));
      await gatherer.captured('c1');
      clock.advance(1_000);
    }
    const count = (name: string): number => found.filter((item) => item.name === name).length;
    expect([count('heavy'), count('light'), count('note')]).toEqual([3, 10, 27]);
    expect(found.at(-1)?.text).toContain('more than 10 failures within 10 minutes');
    clock.advance(600_000);
    gatherer.consider(incident('incident-later'), deathOf('w'));
    await gatherer.captured('c1');
    expect(count('heavy')).toBe(4);
  });

  test('another failure within the same incident adds its last lines, once', async () => {
    const { gatherer, found, release } = rationed();
    release();
    const open = incident('incident-1');
    gatherer.consider(open, { ...deathOf('w'), kind: 'mount.lost' });
    gatherer.consider(open, { ...deathOf('w'), kind: 'restart.scheduled' });
    gatherer.consider(open, { ...deathOf('w'), kind: 'process.exited' });
    gatherer.consider(open, deathOf('w'));
    await gatherer.captured('c1');
    expect(found.map(({ name }) => name)).toEqual(['heavy', 'light', 'light@later']);
  });

  test('whoever wants to remove the container waits for it, and only for it', async () => {
    const { gatherer, release } = rationed();
    gatherer.consider(incident('incident-1'), deathOf('w'));
    await gatherer.captured('another');
    let removed = false;
    const waiting = gatherer.captured('c1').then(() => (removed = true));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(removed).toBe(false);
    release();
    await waiting;
    expect(removed).toBe(true);
  });
});

describe('the store', () => {
  function opened(more: object = {}) {
    const stateDir = mkdtempSync(join(tmpdir(), 'relight-incidents-'));
    const warnings: string[] = [];
    const open = () => new IncidentStore({ stateDir, host: 'h', warn: (message) => warnings.push(message), ...more });
    return { stateDir, warnings, open, store: open() };
  }
  const item = (name: string): Omit<EvidenceItem, 'bytes'> => ({ name, title: name, at: 1 });

  test('a document and its evidence outlive the agent; revisions only grow', () => {
    const { open, store } = opened();
    const first = incident('incident-1');
    store.put(first);
    store.addEvidence(first.id, item('log:process'), 'last words');
    store.addEvidence(first.id, item('log:process'), 'said twice');
    expect(store.put({ ...first, revision: 2 })).toMatchObject({ revision: 3, evidence: [{ name: 'log:process', bytes: 10 }] });
    const again = open();
    expect(again.load(first.id)).toMatchObject({ revision: 3 });
    expect(again.evidenceText(first.id, 'log:process')).toBe('last words');
    expect(again.undelivered()).toEqual([first.id]);
    again.delivered(first.id);
    expect(open().undelivered()).toEqual([]);
    expect(open().ids()).toEqual([first.id]);
  });

  test('a book older than the documents learns from them', () => {
    const { open, store } = opened();
    const first = incident('incident-1');
    store.saveBook({ ...emptyBook, open: { w: first }, last: { w: first.id } });
    store.put({ ...first, revision: 7, cause: 'known later' });
    store.addEvidence(first.id, item('x'), 'x');
    expect(open().loadBook().book).toMatchObject({ open: { w: { revision: 7, cause: 'known later' } }, last: { w: first.id } });
    expect(open().readHost()).toBe('h');
  });

  test('over its bounds the oldest go, never what is open', () => {
    const { store, open } = opened({ incidentsMax: 3 });
    const ids = Array.from({ length: 6 }, (_, index) => `2026010${index}-000000-abcdef`);
    for (const [index, id] of ids.entries()) store.put({ ...incident(id), closedAt: index === 0 ? null : 1 });
    store.prune();
    expect(open().ids()).toEqual([ids[5], ids[4], ids[3], ids[0]]);
  });

  test('bytes count as well', () => {
    const { store, open } = opened({ bytesMax: 30_000 });
    const noise = randomBytes(10_000).toString('hex');
    for (const id of ['20260101-000000-abcdef', '20260102-000000-abcdef', '20260103-000000-abcdef']) {
      store.put({ ...incident(id), closedAt: 1 });
      store.addEvidence(id, item('noise'), `${noise}${id}`);
    }
    store.prune();
    expect(open().ids().length).toBeLessThan(3);
    expect(open().ids()[0]).toBe('20260103-000000-abcdef');
  });

  test('a directory that takes nothing is said once; documents and some evidence stay in memory', () => {
    const { store, stateDir, warnings } = opened({ memoryBytesMax: 200 });
    writeFileSync(join(stateDir, 'incidents'), 'in the way');
    const first = incident('incident-1');
    store.put(first);
    store.addEvidence(first.id, item('small'), 'last words');
    store.addEvidence(first.id, item('large'), randomBytes(10_000).toString('hex'));
    expect(warnings).toHaveLength(1);
    expect(store.evidenceText(first.id, 'small')).toBe('last words');
    expect(store.load(first.id)?.evidence.map(({ name, bytes }) => ({ name, bytes }))).toEqual([
      { name: 'small', bytes: 10 },
      { name: 'large', bytes: 0 },
    ]);
    expect(store.load(first.id)?.evidence[1]?.error).toContain('full');
    expect(existsSync(join(stateDir, 'incidents', first.id))).toBe(false);
  });

  test('a name that is no name stays within the directory of its incident', () => {
    const { store, stateDir } = opened();
    const first = incident('incident-1');
    store.put(first);
    store.addEvidence(first.id, item('../../escape/log:x'), 'x');
    expect(readdirSync(stateDir)).toEqual(['incidents']);
    expect(store.evidenceText(first.id, '../../escape/log:x')).toBe('x');
  });
});
