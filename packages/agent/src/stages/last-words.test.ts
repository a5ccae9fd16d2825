import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Engine, ExecOptions } from '../engine/engine.ts';
import { formatRunId } from '../supervisor/run-id.ts';
import { type LastWordsContext, lastWords } from './last-words.ts';
import { readRayLogs } from './ray-logs.ts';

const parts = { owner: 'o', workload: 'w', generation: 3, n: 7, kind: 'process', name: '' } as const;
const run = { runId: formatRunId(parts), kind: 'process', name: '', pid: 1, startTicks: 1 } as const;
const timedOut = 'Exception: The current node timed out during startup. This could happen because some of the raylet failed to startup';
const crashed = '[2026-11-22 04:45:02,918 C 7 7] (raylet) store.cc:9: Check failed: token abcdefgh is no store';

function heard(said: string, exec: (options: ExecOptions) => string, exitCode: number | null = 1) {
  const asked: ExecOptions[] = [];
  const faults: unknown[] = [];
  const context: LastWordsContext = {
    runs: { tail: () => Promise.resolve(said) },
    engine: {
      exec: async (_, options) => {
        asked.push(options);
        return { exitCode: 0, stdout: exec(options), stderr: '' };
      },
    },
    redact: (text) => text.replaceAll('abcdefgh', '[redacted]'),
    container: { id: 'c', pid: process.pid },
    onFault: (thrown) => void faults.push(thrown),
  };
  return lastWords(run, exitCode, context).then((words) => ({ words, asked, faults }));
}

describe('what a run said last', () => {
  it("has why Ray's raylet failed at its end, without secrets, of files younger than the run", async () => {
    const { words, asked } = await heard(`before\n${timedOut}\n`, () => `${crashed}\n`);
    expect(words.lastLines).toEqual(['before', timedOut, 'raylet: Check failed: token [redacted] is no store']);
    expect(asked.map(({ argv }) => argv.at(-1))).toEqual(['/run/relight/7.process.session']);
  });

  it('asks nobody when nothing is left to be asked: another program, an end that was wanted, a dead container', async () => {
    expect((await heard('Traceback\nboom\n', () => crashed)).asked).toEqual([]);
    expect((await heard(`${timedOut}\n`, () => crashed, 0)).asked).toEqual([]);
  });

  it('is what is known without it when the container cannot be asked', async () => {
    const { words, faults } = await heard(`${timedOut}\n`, () => {
      throw new Error('no sh');
    });
    expect(words).toEqual({ lastLines: [timedOut] });
    expect(faults).toHaveLength(1);
  });
});

describe('the logs of the newest session', () => {
  /** A container is this machine, with another directory for Ray. */
  const here = (root: string): Pick<Engine, 'exec'> => ({
    exec: async (_, { argv: [program = '', ...args] }) => {
      const stdout = execFileSync(program, args, { env: { ...process.env, RAY_TMPDIR: root }, encoding: 'utf8' });
      return { exitCode: 0, stdout, stderr: '' };
    },
  });

  function session() {
    const root = mkdtempSync(join(tmpdir(), 'ray-logs-'));
    const logs = join(root, 'ray', 'session_1', 'logs');
    mkdirSync(logs, { recursive: true });
    symlinkSync(join(root, 'ray', 'session_1'), join(root, 'ray', 'session_latest'));
    const write = (name: string, text: string, at: number): string => {
      const path = join(logs, name);
      writeFileSync(path, text);
      utimesSync(path, at, at);
      return path;
    };
    return { root, engine: here(root), write };
  }

  it('of each daemon the newest file, its end', async () => {
    const { engine, write } = session();
    write('raylet.err', 'an earlier one\n', 1_000);
    write('raylet.1.err', `${'x'.repeat(20_000)}\nthe raylet\n`, 2_000);
    write('raylet.2.out', 'not an error\n', 3_000);
    write('gcs_server.err', 'the GCS\n', 1_000);
    const text = await readRayLogs(engine, 'c', '');
    expect(text).toMatch(/^the GCS\nx+\nthe raylet\n$/);
    expect(text.length).toBeLessThan(9_000);
  });

  it('nothing of before the run, nothing where there is no Ray', async () => {
    const { root, engine, write } = session();
    const mark = join(root, 'run');
    writeFileSync(mark, '');
    utimesSync(mark, 1_500, 1_500);
    write('gcs_server.err', 'of an earlier run\n', 1_000);
    expect(await readRayLogs(engine, 'c', mark)).toBe('');
    write('raylet.1.err', 'of this one\n', 2_000);
    expect(await readRayLogs(engine, 'c', mark)).toBe('of this one\n');
    expect(await readRayLogs(here('/nowhere'), 'c', '')).toBe('');
  });
});
