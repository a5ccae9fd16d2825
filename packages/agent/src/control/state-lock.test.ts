import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readBootId } from '../host/boot-id.ts';
import { readStat } from '../stages/proc.ts';
import { acquireStateLock } from './state-lock.ts';

/** Tries for the lock at every line on stdin, and says what became of it. */
const contender = `
import { createInterface } from 'node:readline';
import { acquireStateLock } from ${JSON.stringify(new URL('state-lock.ts', import.meta.url).href)};
console.log('up');
for await (const _ of createInterface({ input: process.stdin })) {
  try { acquireStateLock(process.argv[1]); console.log('won'); }
  catch (error) { console.log(error.code + ' ' + error.data?.pid); }
}`;

class Contender {
  readonly process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(stateDir: string) {
    this.process = spawn(process.execPath, ['--input-type=module', '-e', contender, stateDir], { stdio: ['pipe', 'pipe', 'inherit'] });
    if (this.process.stdout === null) throw new Error('no stdout');
    this.#lines = createInterface({ input: this.process.stdout })[Symbol.asyncIterator]();
  }

  async line(): Promise<string> {
    return String((await this.#lines.next()).value);
  }

  async contend(): Promise<string> {
    this.process.stdin?.write('go\n');
    return this.line();
  }

  async kill(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    this.process.kill('SIGKILL');
    await once(this.process, 'exit');
  }
}

let stateDir: string;
let contenders: Contender[];

async function start(count: number): Promise<void> {
  contenders = Array.from({ length: count }, () => new Contender(stateDir));
  expect(await Promise.all(contenders.map((contender) => contender.line()))).toEqual(contenders.map(() => 'up'));
}

beforeEach(() => {
  stateDir = join(mkdtempSync(join(tmpdir(), 'relight-lock-')), 'state');
  contenders = [];
});

afterEach(async () => {
  await Promise.all(contenders.map((contender) => contender.kill()));
});

describe('state lock', () => {
  test('a second agent is refused and told the pid of the first', async () => {
    const lock = acquireStateLock(stateDir);
    await start(1);
    expect(await contenders[0]?.contend()).toBe(`already-running ${process.pid}`);
    lock.release();
    expect(await contenders[0]?.contend()).toBe('won');
    expect(() => acquireStateLock(stateDir)).toThrow(`pid ${contenders[0]?.process.pid}`);
  });

  test('after kill -9 of the holder exactly one of many contenders succeeds it, round after round', async () => {
    await start(6);
    let alive = contenders;
    while (alive.length > 0) {
      const answers = await Promise.all(alive.map((contender) => contender.contend()));
      const winner = alive[answers.indexOf('won')];
      expect(answers.toSorted()).toEqual([...alive.slice(1).map(() => `already-running ${winner?.process.pid}`), 'won']);
      await winner?.kill();
      alive = alive.filter((contender) => contender !== winner);
    }
    expect(acquireStateLock(stateDir).held()).toBe(true);
    expect(readdirSync(stateDir)).toHaveLength(1);
  });

  test('a stopped holder (SIGSTOP) still holds', async () => {
    await start(1);
    expect(await contenders[0]?.contend()).toBe('won');
    contenders[0]?.process.kill('SIGSTOP');
    expect(() => acquireStateLock(stateDir)).toThrow('another agent');
  });

  test('the pid of a later process, another boot or rubbish hold nothing', () => {
    const self = readStat('/proc', process.pid);
    const boot = readBootId();
    const stale = [
      `${process.pid}.${(self?.startTicks ?? 0) + 1}.${boot}.x`,
      `${process.pid}.${self?.startTicks}.00000000-0000-0000-0000-000000000000.x`,
      'rubbish',
    ];
    for (const target of stale) {
      acquireStateLock(stateDir).release();
      const last = Number(readdirSync(stateDir)[0]?.slice('lock.'.length));
      symlinkSync(target, join(stateDir, `lock.${last + 1}`));
      const lock = acquireStateLock(stateDir);
      expect(readdirSync(stateDir)).toEqual([`lock.${last + 2}`]);
      lock.release();
    }
  });

  test('knows when it was lost', () => {
    const lock = acquireStateLock(stateDir);
    expect(lock.held()).toBe(true);
    rmSync(stateDir, { recursive: true });
    expect(lock.held()).toBe(false);
    acquireStateLock(stateDir);
    lock.release();
    expect(() => acquireStateLock(stateDir)).toThrow('this process');
  });

  test('a state directory that cannot be is a matter of configuration', () => {
    writeFileSync(stateDir, '');
    for (const impossible of [stateDir, join(stateDir, 'below'), '/sys/kernel']) {
      expect(() => acquireStateLock(impossible)).toThrow(expect.objectContaining({ code: 'config-invalid' }));
    }
  });
});
