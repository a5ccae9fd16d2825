/** Log drivers that keep no file that can be read: their lines come through a real engine, each once. */
import { createSocket } from 'node:dgram';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, inject, onTestFinished, test } from 'vitest';
import { Bystander, type WorkloadDocument } from '../support/bystander.ts';
import { dockerApi } from '../support/docker-api.ts';
import { startLab, type Lab } from '../support/lab.ts';
import { eventually, waitFor } from '../support/wait.ts';

const docker = dockerApi(inject('engineSocket'));
let lab: Lab;
beforeAll(async () => {
  lab = await startLab({ engineSocket: inject('engineSocket') });
});
afterAll(() => lab?.dispose());

async function running(name: string, container: WorkloadDocument): Promise<Bystander> {
  const worker = await Bystander.ready(lab, name, inject('engineImage'), {
    container,
    process: { run: 'exec sleep 1000000', stop_timeout: '500ms' },
  });
  onTestFinished(() => worker.agent.service.stop());
  return worker;
}

/** Lines of the container's own output, as `generation stream line`; gaps as `gap`. */
async function said(host: string): Promise<readonly string[]> {
  const entries = await lab.fleet.logs({ host, source: 'container', limit: 10_000 });
  return entries.map((entry) => ('line' in entry ? `${entry.generation} ${entry.stream} ${entry.line}` : 'gap'));
}

/** The first process hands on what it is given, as its own output. */
const say = (worker: Bystander, script: string): Promise<string> => worker.exec('sh', '-c', `(${script}) > /proc/1/fd/1 2> /proc/1/fd/2`);
const numbered = (from: number, to: number): readonly string[] =>
  Array.from({ length: to - from + 1 }, (_, index) => `1 stdout line ${from + index}`);
const expectLines = (host: string, lines: readonly string[]): Promise<void> =>
  eventually(async () => expect(await said(host)).toEqual(lines), { what: `the lines of ${host}`, timeoutMs: 60_000 });

test('local: streams, long lines, an agent that was away, a container that ended meanwhile; the spool goes when all is sent', async () => {
  const worker = await running('driver-local', { logging: { driver: 'local', options: { 'max-size': '1m', 'max-file': '3' } } });
  await say(worker, 'seq 1 50 | sed "s/^/line /"');
  await expectLines('driver-local', numbered(1, 50));
  await say(worker, 'echo error >&2');
  await expectLines('driver-local', [...numbered(1, 50), '1 stderr error']);
  await say(worker, `printf 'ü%.0s' $(seq 25000); echo`);
  const long = `1 stdout ${'ü'.repeat(25_000)}`;
  await expectLines('driver-local', [...numbered(1, 50), '1 stderr error', long]);

  await worker.agent.service.kill();
  await say(worker, 'seq 51 300 | sed "s/^/line /"');
  await worker.agent.service.start();
  const before = [...numbered(1, 50), '1 stderr error', long, ...numbered(51, 300)];
  await expectLines('driver-local', before);

  await worker.agent.service.kill();
  await say(worker, 'seq 301 320 | sed "s/^/line /"; printf "no newline at the end"');
  const [{ id }, mark] = [await worker.container(), await worker.mark()];
  await lab.engine.kill(id, 'SIGKILL');
  await worker.agent.service.start();
  // Its phase is what it was until the new agent is heard.
  await worker.next(mark, 'workload.ready', () => true, 60_000);
  await expectLines('driver-local', [...before, ...numbered(301, 320), '1 stdout no newline at the end']);
  await say(worker, 'echo of the second');
  await expectLines('driver-local', [...before, ...numbered(301, 320), '1 stdout no newline at the end', '2 stdout of the second']);

  await lab.engine.remove(id);
  const spools = join(worker.agent.stateDir, 'logs/api/driver-local');
  await waitFor(() => existsSync(join(spools, '2')) && readdirSync(join(spools, '1')).length === 0, {
    what: 'the spool of the first container to go',
    timeoutMs: 40_000,
    everyMs: 200,
  });
  expect(readdirSync(join(spools, '2'))).toHaveLength(1);
});

test('a terminal', async () => {
  const worker = await running('driver-tty', { tty: true, logging: { driver: 'local' } });
  await say(worker, 'seq 1 20 | sed "s/^/line /"');
  await expectLines('driver-tty', numbered(1, 20));
  await worker.agent.service.kill();
  await say(worker, 'seq 21 40 | sed "s/^/line /"');
  await worker.agent.service.start();
  await expectLines('driver-tty', numbered(1, 40));
  expect((await worker.events()).filter(({ kind }) => kind === 'log.gap')).toEqual([]);
});

test('more was rotated away than the agent has read: a gap of unknown size, and then what is there', async () => {
  const worker = await running('driver-rotated', {
    logging: { driver: 'local', options: { 'max-size': '20k', 'max-file': '2', compress: 'false' } },
  });
  await say(worker, 'seq 1 5 | sed "s/^/line /"');
  await expectLines('driver-rotated', numbered(1, 5));
  await worker.agent.service.kill();
  await say(worker, 'seq 6 5000 | sed "s/^/line /"');
  // Rotation is over before anybody reads: in the middle of it there might be two gaps.
  await waitFor(async () => (await docker.logs(worker.containerName, 1)).includes('line 5000'), {
    what: 'the engine to have written the last line',
  });
  await worker.agent.service.start();
  await eventually(async () => expect((await said('driver-rotated')).at(-1)).toBe('1 stdout line 5000'), {
    what: 'the last line',
    timeoutMs: 60_000,
  });
  const lines = await said('driver-rotated');
  const gap = lines.indexOf('gap');
  expect(gap).toBe(5);
  expect(lines.filter((line) => line === 'gap')).toHaveLength(1);
  expect(lines.slice(0, 5)).toEqual(numbered(1, 5));
  const first = Number(lines[6]?.replace('1 stdout line ', ''));
  expect(lines.slice(6)).toEqual(numbered(first, 5_000));
});

/** Somebody who takes datagrams: what a driver cannot send is not in the engine's copy either. */
async function datagramSink(): Promise<string> {
  const socket = createSocket('udp4');
  onTestFinished(() => void socket.close());
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  return `udp://127.0.0.1:${socket.address().port}`;
}

/** Drivers that send away what they get: the engine keeps a copy, unless it is told not to. */
test.each([
  ['syslog', { 'syslog-address': '' }],
  ['gelf', { 'gelf-address': '' }],
  ['fluentd', { 'fluentd-address': 'tcp://127.0.0.1:9', 'fluentd-async': 'true' }],
])("%s: the engine's copy is read, each line once, also by the next agent", async (driver, given) => {
  const host = `driver-${driver}`;
  const sink = await datagramSink();
  const options = Object.fromEntries(Object.entries(given).map(([name, value]) => [name, value === '' ? sink : value]));
  const worker = await running(host, { logging: { driver, options } });
  await say(worker, 'seq 1 50 | sed "s/^/line /"');
  await expectLines(host, numbered(1, 50));
  await worker.agent.service.kill();
  await say(worker, 'seq 51 60 | sed "s/^/line /"');
  await worker.agent.service.start();
  await expectLines(host, numbered(1, 60));
  expect((await worker.events()).filter(({ kind }) => kind === 'log.gap')).toEqual([]);
});

test.each([
  ['none', {}],
  ['syslog', { 'syslog-address': 'udp://127.0.0.1:9', 'cache-disabled': 'true' }],
])('%s without a copy: said once, with what to do', async (driver, options) => {
  const worker = await running(`driver-no-${driver}`, { logging: { driver, options } });
  const told = async () => (await worker.events()).filter(({ kind, data }) => kind === 'log.gap' && data['reason'] === 'unreadable-driver');
  await waitFor(async () => (await told()).length === 1, { what: 'the driver to be named' });
  expect((await told())[0]?.message).toContain('use json-file or local');
  await worker.agent.service.kill();
  await worker.agent.service.start();
  await worker.phase('ready');
  expect((await told()).length).toBeLessThanOrEqual(2);
});
