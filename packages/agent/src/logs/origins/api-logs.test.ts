import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SegmentKey } from '@relight/shared/log-stream';
import { ManualClock } from '@relight/shared/manual-clock';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { waitFor } from '../../../../../test/support/wait.ts';
import type { ContainerFacts } from '../../engine/engine.ts';
import { ApiLogs } from './api-logs.ts';

let directory: string;
beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), 'relight-api-logs-'));
});
afterEach(() => fs.rmSync(directory, { recursive: true }));

const facts = (state: Partial<ContainerFacts>): ContainerFacts =>
  ({
    id: 'c0ffee',
    name: 'worker',
    labels: { 'relight.workload': 'worker', 'relight.generation': '1' },
    status: 'running',
    startedAt: 1,
    logDriver: 'journald',
    tty: false,
    ...state,
  }) as ContainerFacts;

function frame(number: number): Buffer {
  const payload = Buffer.from(`2026-11-22T08:00:${String(number).padStart(2, '0')}.000000000Z line ${number}\n`);
  const header = Buffer.alloc(8);
  header[0] = 1;
  header.writeUInt32BE(payload.length, 4);
  return Buffer.concat([header, payload]);
}

/** An engine that reads a journal, and a journald that takes lines up when it is let. */
function world() {
  const clock = new ManualClock();
  const journal: number[] = [];
  const finished: SegmentKey[] = [];
  const syncs: (() => void)[] = [];
  let reads = 0;
  let [follows, end] = [false, (): void => undefined];
  const logs = new ApiLogs({
    engine: {
      async *logs() {
        reads += 1;
        for (const number of journal) yield frame(number);
        if (follows) await new Promise<void>((resolve) => (end = resolve));
      },
    },
    shipper: { follow: () => undefined, finish: (key) => void finished.push(key), segments: () => [] },
    clock,
    logger: { warn: () => undefined },
    syncJournal: () => new Promise((resolve) => syncs.push(resolve)),
    unreadable: () => undefined,
    directory,
    bootId: 'boot',
  });
  return {
    clock,
    journal,
    logs,
    syncs,
    finished,
    reads: () => reads,
    /** The engine waits for more, as it does while the container runs. */
    following: (does: boolean) => (follows = does),
    /** The container is over, for the engine. */
    ends: () => end(),
    lines: (): readonly string[] => {
      const text = fs.readFileSync(join(directory, 'worker/1/c0ffee.boot-json.log'), 'utf8');
      return [...text.matchAll(/"log":"(.*?)\\n"/g)].map(([, line = '']) => line);
    },
    until: (condition: () => boolean, what: string) => waitFor(condition, { what }),
  };
}

it('of journald, what it takes up after the end of the container is read before the log is over', async () => {
  const { journal, logs, syncs, finished, lines, until } = world();
  journal.push(1, 2);
  logs.seen(facts({ status: 'exited' }));
  await until(() => syncs.length === 1, 'journald to be asked');
  expect([lines(), finished]).toEqual([['line 1', 'line 2'], []]);
  journal.push(3, 4);
  syncs[0]?.();
  await until(() => finished.length === 1, 'the log to be over');
  expect(lines()).toEqual(['line 1', 'line 2', 'line 3', 'line 4']);
  logs.close();
});

it('of journald, a container that ends while it is followed as well', async () => {
  const { journal, logs, syncs, finished, reads, following, ends, lines, until } = world();
  journal.push(1);
  following(true);
  logs.seen(facts({}));
  await until(() => reads() === 1, 'it to be followed');
  logs.seen(facts({ status: 'exited' }));
  following(false);
  await until(() => (ends(), syncs.length === 1), 'journald to be asked');
  expect(finished).toEqual([]);
  journal.push(2);
  syncs[0]?.();
  await until(() => finished.length === 1, 'the log to be over');
  expect(lines()).toEqual(['line 1', 'line 2']);
  logs.close();
});

it('of journald, a container that is started again meanwhile: its log is not over, and its next end is waited for, too', async () => {
  const { clock, journal, logs, syncs, finished, reads, following, ends, lines, until } = world();
  journal.push(1);
  logs.seen(facts({ status: 'exited' }));
  await until(() => syncs.length === 1, 'journald to be asked');
  logs.seen(facts({ startedAt: 2 }));
  following(true);
  journal.push(2);
  syncs[0]?.();
  await until(() => reads() === 2, 'it to be followed');
  logs.seen(facts({ status: 'exited', startedAt: 2 }));
  following(false);
  await until(() => (ends(), clock.advance(1_000), syncs.length === 2), 'journald to be asked again');
  expect(finished).toEqual([]);
  journal.push(3);
  syncs[1]?.();
  await until(() => finished.length === 1, 'the log to be over');
  expect(lines()).toEqual(['line 1', 'line 2', 'line 3']);
  logs.close();
});

it('of another driver the engine knows the end', async () => {
  const { journal, logs, syncs, finished, reads, until } = world();
  journal.push(1);
  logs.seen(facts({ status: 'exited', logDriver: 'local' }));
  await until(() => finished.length === 1, 'the log to be over');
  expect([reads(), syncs]).toEqual([1, []]);
  logs.close();
});
