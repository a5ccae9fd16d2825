import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { fakeApi, list, relight, type Answer, type Call } from './fake-api.test-data.ts';
import { apiLine, apiWorkload } from './samples.test-data.ts';

const ndjson = (entries: readonly unknown[]): string => entries.map((entry) => `${JSON.stringify(entry)}\n`).join('');

describe('search', () => {
  const answers = (entries: readonly unknown[]): Readonly<Record<string, Answer>> => ({
    'GET logs': (_call, response) => void response.end(ndjson(entries)),
  });

  test('words, the newest first, with context; more than asked for is said', async () => {
    const entries = [
      apiLine(20, { line: 'before', context: true, apart: true }),
      apiLine(30, { line: 'ERROR it\u001b[2J', level: 'error' }),
      apiLine(0, { line: 'another', apart: true }),
      apiLine(1, { line: 'too many' }),
    ];
    await using api = await fakeApi(answers(entries));
    const args = ['search', 'it', 'broke', '--label', 'pool=v5e', '-n', '3', '-B', '1', '--level', 'error', '--since', '2026-01-01'];
    const { code, stdout, stderr } = await relight(api.url, args).ended;
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: 'relight: there are more than 3: say more about what you look for, or -n 0 for all\n',
    });
    expect(stdout.replaceAll(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ +/g, '').split('\n')).toEqual([
      'tpu-0/ray process - before',
      String.raw`tpu-0/ray process | ERROR it\x1b[2J`,
      '--',
      'tpu-0/ray process | another',
      '',
    ]);
    expect(api.calls.find(({ path }) => path === 'logs')?.query).toMatchObject({
      label: 'pool=v5e',
      level: 'error',
      linesBefore: '1',
      order: 'newest',
      limit: '4',
      since: '2026-01-01T00:00:00.000Z',
    });
  });

  test('nothing found is 1, nothing to look for is 2', async () => {
    await using api = await fakeApi(answers([]));
    expect(await relight(api.url, ['search', 'x']).ended).toMatchObject({ code: 1, stdout: '', stderr: '' });
    expect(await relight(api.url, ['search']).ended).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('say what to look for') as string,
    });
    expect(await relight(api.url, ['search', 'x', '-C', '101']).ended).toMatchObject({ code: 2 });
    expect(await relight(api.url, ['search', '--level', 'eror']).ended).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('Did you mean error?') as string,
    });
  });

  test('--json is what came, with every dangerous character escaped', async () => {
    const entry = apiLine(0, { line: 'a\u009b2J\u202e' });
    await using api = await fakeApi(answers([{ ...entry, next: '7' }]));
    const { stdout } = await relight(api.url, ['search', 'a', '--json', '--oldest-first', '-n', '0']).ended;
    expect(stdout).toContain(String.raw`a\u009b2J\u202e`);
    expect(JSON.parse(stdout)).toEqual(entry);
    expect(api.calls.at(-1)?.query).toEqual({ word: 'a', order: 'oldest' });
  });

  test('a record of several lines stands under one prefix', async () => {
    await using api = await fakeApi(answers([apiLine(0, { line: 'Traceback\n  File\nValueError: \u0007', lines: 3 })]));
    const { stdout } = await relight(api.url, ['search', 'ValueError', '--multiline']).ended;
    expect(stdout.split('\n').map((line) => line.replace(/^.*\| (?:\d\S+ \S+ +)?/, ''))).toEqual([
      'Traceback',
      '  File',
      String.raw`ValueError: \x07`,
      '',
    ]);
  });
});

describe('export', () => {
  let directory: string;
  let file: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'relight-export-'));
    file = join(directory, 'out');
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  /** Lines 0 to 9, three at a time; what `fail` says is cut off in the middle. */
  const paged =
    (fail: (from: number, call: Call) => boolean): Answer =>
    (call, response) => {
      const from = Number(call.query['after'] ?? 0);
      const entries = [0, 1, 2].flatMap((i) => (from + i > 9 ? [] : [apiLine(from + i)]));
      const last = entries.at(-1);
      const whole = from + 3 > 9 ? entries : entries.map((entry) => (entry === last ? { ...entry, next: String(from + 3) } : entry));
      response.writeHead(200, { 'content-type': 'application/x-ndjson' });
      if (!fail(from, call)) response.end(ndjson(whole));
      else response.write(ndjson(whole).slice(0, 200), () => response.destroy());
    };
  const whole = Array.from({ length: 10 }, (_, i) => apiLine(i));

  test('page by page into a file that appears when it is complete; a page that breaks off is asked for again', async () => {
    let broken = 0;
    await using api = await fakeApi({
      'GET workloads': list([apiWorkload()]),
      'GET logs': paged((from) => from === 6 && (broken += 1) <= 2),
    });
    const { code, stdout, stderr } = await relight(api.url, ['export', 'tpu-0/ray', '-o', file]).ended;
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
    expect(stderr).toMatch(/trying again\n(?:.*\n)*relight: 10 lines and no gaps in .*out\n$/);
    expect(readFileSync(file, 'utf8')).toBe(ndjson(whole));
    expect(existsSync(`${file}.part`)).toBe(false);
    expect(existsSync(`${file}.part.state`)).toBe(false);
    const calls = api.calls.filter(({ path }) => path === 'logs');
    expect(new Set(calls.map(({ query }) => query['until'])).size, 'one end for all pages').toBe(1);
  });

  test('interrupted, the same command goes on where it stopped, with the times of its beginning', async () => {
    let gone = true;
    await using api = await fakeApi({
      'GET logs': (call, response) => (gone && Number(call.query['after'] ?? 0) === 6 ? undefined : paged(() => false)(call, response)),
    });
    const first = relight(api.url, ['export', '--since', '1h', '--word', 'line', '-o', file]);
    await expect.poll(() => api.calls.filter(({ query }) => query['after'] === '6').length, { timeout: 60_000 }).toBe(1);
    first.kill('SIGKILL');
    await first.ended;
    expect(existsSync(file)).toBe(false);
    // Torn: bytes behind what the state counts.
    writeFileSync(`${file}.part`, '{"torn', { flag: 'a' });
    gone = false;
    const second = await relight(api.url, ['export', '--since', '1h', '--word', 'line', '-o', file]).ended;
    expect(second).toMatchObject({ code: 0, stderr: expect.stringContaining('going on with') as string });
    expect(second.stderr).toContain('relight: 10 lines and no gaps');
    expect(readFileSync(file, 'utf8')).toBe(ndjson(whole));
    const since = api.calls.filter(({ path }) => path === 'logs').map(({ query }) => query['since']);
    expect(new Set(since).size).toBe(1);
    // Another selection begins anew.
    await relight(api.url, ['export', '--since', '2h', '-o', file]).ended;
    expect(api.calls.filter(({ path }) => path === 'logs').at(-4)?.query['after']).toBeUndefined();
  });

  test('as text, with gaps in words and counted, to stdout', async () => {
    const gap = { ...apiLine(9), gap: { from: 9, to: 99, lines: 4, bytes: 90, reason: 'rotated' } };
    await using api = await fakeApi({
      'GET logs': (_call, response) => void response.end(ndjson([apiLine(0, { line: 'a\u001b[1mb\u009b' }), gap])),
    });
    const { stdout, stderr, code } = await relight(api.url, ['export', '--format', 'text']).ended;
    expect(code).toBe(0);
    expect(stdout.split('\n').map((line) => line.replace(/^\S+ /, ''))).toEqual([
      String.raw`tpu-0/ray process | ab\x9b`,
      'tpu-0/ray process | --- gap: 4 lines, 90 bytes (rotated) ---',
      '',
    ]);
    expect(stderr).toBe('relight: 1 line and 1 gap (90 bytes are missing)\n');
  });

  test('a file that cannot be written is said with its name', async () => {
    await using api = await fakeApi({ 'GET logs': paged(() => false) });
    expect(await relight(api.url, ['export', '-o', join(directory, 'no', 'out')]).ended).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('cannot be written') as string,
    });
  });
});
