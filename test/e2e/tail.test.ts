/** `relight tail` at an operator's terminal, as a real process, while workloads write what the test tells them to write. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import type { ApiLogEntry } from '@relight/shared/api';
import { afterAll, afterEach, beforeAll, expect, inject, test } from 'vitest';
import { programs, startLab, type Lab } from '../support/lab.ts';
import { countingScript, judge } from '../support/numbered-lines.ts';
import { waitFor } from '../support/wait.ts';

const host = 'tail-0';
const spoken = ['one', 'two', 'flood'] as const;
type Spoken = (typeof spoken)[number];

class Tail {
  readonly lines: string[] = [];
  readonly ended: Promise<{ code: number | null; signal: string | null }>;
  stderr = '';
  readonly #child: ChildProcess;

  constructor(...args: readonly string[]) {
    const child = spawn(process.execPath, [programs.relight, 'tail', ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...lab.operatorEnvironment, FORCE_COLOR: '0' },
    });
    this.#child = child;
    createInterface({ input: child.stdout }).on('line', (line) => this.lines.push(line));
    child.stderr.on('data', (text: Buffer) => (this.stderr += text.toString()));
    this.ended = new Promise((resolve) => child.once('close', (code, signal) => resolve({ code, signal })));
    open.add(this);
  }

  shows(what: RegExp, timeoutMs = 20_000): Promise<string> {
    return waitFor(() => this.lines.find((line) => what.test(line)), {
      timeoutMs,
      what: `${what} in:\n${this.lines.slice(-20).join('\n')}`,
    });
  }

  /** As Ctrl-C. */
  interrupt(): Promise<{ code: number | null; signal: string | null }> {
    this.#child.kill('SIGINT');
    return this.ended;
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.ended;
  }
}

const open = new Set<Tail>();
let lab: Lab;
let control: string;
let feeds: Record<Spoken, number>;

beforeAll(async () => {
  lab = await startLab({ engineSocket: inject('engineSocket') });
  control = join(lab.directory, 'control');
  mkdirSync(control);
  await Promise.all(spoken.map((name) => promisify(execFile)('mkfifo', [join(control, name)])));
  const workload = (name: string, run: string, more: Record<string, unknown> = {}): Record<string, unknown> => ({
    name,
    container: {
      name: `tail-${name}-${process.pid}`,
      image: inject('engineImage'),
      pull_policy: 'never',
      init: true,
      command: ['sleep', 'infinity'],
      volumes: [`${control}:/control`],
    },
    process: { run, stop_timeout: '1s' },
    ...more,
  });
  await lab.addAgent({
    host,
    workloads: [
      workload('one', 'exec cat /control/one'),
      workload('two', 'exec cat /control/two'),
      workload('flood', 'exec cat /control/flood', { logs: { rate_limit: '20 per 1h' } }),
      workload('writer', countingScript({ perSecond: 500, stopFile: '/control/stop' })),
    ],
  });
  for (const name of [...spoken, 'writer']) await lab.fleet.waitForPhase(host, name, 'ready');
  // Both ends: the workload's start waits for a writer, and a write for a reader.
  feeds = Object.fromEntries(spoken.map((name) => [name, openSync(join(control, name), 'r+')])) as Record<Spoken, number>;
});

afterEach(async () => {
  for (const tail of open) await tail.kill();
  open.clear();
});

afterAll(async () => {
  for (const fd of Object.values(feeds ?? {})) closeSync(fd);
  await lab?.dispose();
});

const say = (name: Spoken, text: string): void => void writeSync(feeds[name], `${text}\n`);
const prefixed = (name: string, text: string): RegExp => new RegExp(`^${host}/${name} +process +\\| ${text}$`);
/** What stands behind the prefixes. */
const texts = (lines: readonly string[]): string[] => lines.map((line) => line.replace(/^.*? \| /, ''));
const stored = async (...args: readonly string[]): Promise<string[]> => {
  const { code, stdout, stderr } = await lab.relight('tail', '--host', host, '--no-follow', ...args);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout.split('\n').slice(0, -1);
};

test('history, then what comes; two streams merged in the order in which they were written', async () => {
  for (const n of [1, 2, 3, 4]) say('one', `old ${n}`);
  const watching = new Tail(`${host}/one`);
  await watching.shows(prefixed('one', 'old 4'));
  const tail = new Tail('--host', host, '--source', 'process', '--grep', '^(old|new)', '-n', '2');
  await tail.shows(prefixed('one', 'old 4'));
  const order: string[] = [];
  for (const n of [1, 2, 3, 4, 5, 6]) {
    const name = n % 3 === 0 ? 'one' : 'two';
    say(name, `new ${n} ${name}`);
    order.push(`new ${n} ${name}`);
    await tail.shows(prefixed(name, `new ${n} ${name}`));
  }
  expect(texts(tail.lines)).toEqual(['old 3', 'old 4', ...order]);
  expect(texts(await stored('--grep', '^new')), 'the same order from the store').toEqual(order);
  await watching.shows(prefixed('one', 'new 6 one'));
  expect(texts(watching.lines)).toEqual(['old 1', 'old 2', 'old 3', 'old 4', 'new 3 one', 'new 6 one']);
  expect(await tail.interrupt()).toEqual({ code: 0, signal: null });
  expect(tail.stderr).toBe('');
});

test('--since, --until, --grep, --json, --no-follow', async () => {
  const tail = new Tail(`${host}/two`, '-n', '1000');
  say('two', 'before the moment');
  await tail.shows(/before the moment/);
  // Lines carry the time at which the agent saw them: a moment that lies between two of them for sure.
  const [before] = (await stored('--grep', 'before the moment', '--json')).map((line) => JSON.parse(line) as { at: string });
  const moment = new Date(Date.parse(before?.at ?? '') + 1).toISOString();
  await waitFor(() => Date.now() > Date.parse(moment), { what: 'the clock to go on' });
  say('two', 'behind the moment');
  await tail.shows(/behind the moment/);
  expect(texts(await stored('--workload', 'two', '--since', moment))).toEqual(['behind the moment']);
  expect(texts(await stored('--workload', 'two', '--since', '1h', '--until', moment, '--grep', '(?i)MOMENT'))).toEqual([
    'before the moment',
  ]);
  const documents = (await stored('--workload', 'two', '--json')).map((line) => JSON.parse(line) as ApiLogEntry);
  expect(documents.at(-1)).toMatchObject({ host, workload: 'two', source: 'process', generation: 1, line: 'behind the moment' });
  expect(await lab.relight('tail', '--since', 'yesterday')).toMatchObject({ code: 2, stdout: '' });
});

test('a burst over the rate limit is a visible gap that counts', async () => {
  // With history: the burst may be over before the tail is there.
  const tail = new Tail(`${host}/flood`, '-n', '1000');
  writeSync(feeds.flood, Array.from({ length: 100 }, (_, n) => `burst ${n + 1}\n`).join(''));
  await tail.shows(/--- gap: /);
  const shown = texts(tail.lines);
  expect(shown.slice(0, 20)).toEqual(Array.from({ length: 20 }, (_, n) => `burst ${n + 1}`));
  const missing = tail.lines.flatMap((line) => Number(/--- gap: (\d+) lines, \d+ bytes \(rate-limit\) ---$/.exec(line)?.[1] ?? 0));
  expect(missing.reduce((sum, n) => sum + n, 0)).toBe(80);
  const documents = (await stored('--workload', 'flood', '--json')).map((line) => JSON.parse(line) as ApiLogEntry);
  expect(documents.filter((entry) => 'gap' in entry)).toMatchObject([{ workload: 'flood', gap: { lines: 80, reason: 'rate-limit' } }]);
});

test('over a new container: one stream with a visible marker; --previous shows the one before', async () => {
  const tail = new Tail(`${host}/one`, '--source', 'process', '-n', '1000');
  say('one', 'of the first');
  await tail.shows(prefixed('one', 'of the first'));
  const before = await lab.fleet.workload(host, 'one');
  await lab.engine.kill(before?.containerId ?? '', 'SIGKILL');
  await waitFor(async () => (await lab.fleet.workload(host, 'one'))?.generation === 2, { timeoutMs: 30_000, what: 'a new container' });
  await lab.fleet.waitForPhase(host, 'one', 'ready');
  say('one', 'of the second');
  await tail.shows(prefixed('one', 'of the second'));
  const shown = tail.lines.slice(tail.lines.findIndex((line) => line.includes('of the first')));
  expect(texts(shown)).toEqual(['of the first', `--- ${host}/one: container generation 2 ---`, 'of the second']);
  const previous = texts(await stored('--workload', 'one', '--source', 'process', '--previous'));
  expect(previous.at(-1)).toBe('of the first');
  expect(previous).not.toContain('of the second');
});

test('a restart of the collector: the tail goes on, without loss or doubles', async () => {
  const tail = new Tail('--host', host, '--workload', 'writer', '--source', 'process', '--json', '--since', '1h');
  const count = (): number => tail.lines.length;
  await waitFor(() => count() > 1_000, { timeoutMs: 20_000, what: 'the first lines' });
  for (let round = 0; round < 2; round += 1) {
    const before = count();
    await lab.collector.kill();
    await lab.collector.start();
    // An agent that has dialled in vain waits for up to half a minute before it does so again.
    await waitFor(() => count() > before + 500, { timeoutMs: 60_000, what: 'lines after the restart' });
  }
  writeFileSync(join(control, 'stop'), '');
  const end = await tail.shows(/"line":"end \d+"/, 40_000);
  const written = Number(/"line":"end (\d+)"/.exec(end)?.[1]);
  expect(judge(tail.lines.map((line) => JSON.parse(line) as ApiLogEntry))).toEqual({ lines: written, gaps: [], wrong: [] });
  expect(await tail.interrupt()).toEqual({ code: 0, signal: null });
  // Another pipe than the lines come through: all of it has been read at its end.
  expect(tail.stderr).toMatch(/trying again\n(?:.*\n)*relight: connected again\n$/);
});
