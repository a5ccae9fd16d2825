import { appendFileSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { SimulatedWorld } from '../../../test/support/simulated-world.ts';
import { workloadFixture } from '../../../test/support/specs.ts';
import { replay } from './supervisor/replay.ts';
import { journalDirectory, readJournal, shortDigest, WorkloadJournal } from './workload-journal.ts';

let stateDir = '';
let world: SimulatedWorld;
const troubles: string[] = [];
const directory = (): string => journalDirectory(stateDir, 'worker');

function open(limits = { segmentBytes: 20_000, segments: 3 }): WorkloadJournal {
  const journal = new WorkloadJournal({
    stateDir,
    spec: world.spec,
    ownerId: 'owner',
    version: '1.0.0',
    wallNow: () => world.now,
    onTrouble: (message) => troubles.push(message),
    limits,
  });
  world.onStep = (step) => {
    journal.record(step);
    journal.flush(step.after);
  };
  return journal;
}

beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'journal-'));
  world = new SimulatedWorld(workloadFixture());
  troubles.length = 0;
});

function crashLoop(rounds: number): void {
  for (let i = 0; i < rounds; i += 1) {
    world.killContainer();
    world.settle();
    world.advance(1_000_000);
  }
}

describe('the journal', () => {
  test('stays within its segments, and what is left can be replayed', () => {
    open();
    world.observe();
    world.settle();
    crashLoop(40);
    const files = readdirSync(directory());
    expect(files).toHaveLength(3);
    const sizes = files.map((name) => statSync(join(directory(), name)).size);
    // A segment ends with the record that fills it.
    expect(Math.max(...sizes)).toBeLessThan(20_000 + 10_000);
    expect(statSync(join(directory(), files[0]!)).mode & 0o777).toBe(0o600);
    const replayed = replay(readJournal(directory()), shortDigest);
    expect(replayed).toMatchObject({ damaged: 0, skipped: 0, mismatches: [] });
    expect(replayed.steps.at(-1)?.after).toEqual(world.state);
  });

  test('grows by nothing while nothing happens', () => {
    open();
    world.observe();
    world.settle();
    world.report();
    const before = readJournal(directory()).length;
    for (let i = 0; i < 50; i += 1) {
      world.observe();
      world.report();
      world.send({ type: 'tick' });
    }
    expect(readJournal(directory())).toHaveLength(before);
  });

  test('goes on in the same file after a start, and in another one behind half a line', () => {
    open();
    world.observe();
    world.settle();
    open();
    world.killContainer();
    world.settle();
    expect(readdirSync(directory())).toEqual(['000001.jsonl']);
    appendFileSync(join(directory(), '000001.jsonl'), '{"kind":"input","at":1');
    open();
    world.killContainer();
    world.settle();
    expect(readdirSync(directory())).toEqual(['000001.jsonl', '000002.jsonl']);
    expect(replay(readJournal(directory()), shortDigest)).toMatchObject({ damaged: 1, skipped: 0, mismatches: [] });
  });

  test('a full disk stops nothing, and is told as a gap', () => {
    open();
    world.observe();
    world.settle();
    const [before] = readJournal(directory());
    rmSync(join(directory(), '000001.jsonl'));
    symlinkSync('/dev/full', join(directory(), '000001.jsonl'));
    crashLoop(1);
    expect(world.state.phase).toBe('ready');
    expect(troubles).toEqual([expect.stringContaining('ENOSPC')]);
    rmSync(join(directory(), '000001.jsonl'));
    const replayed = replay([before, ...readJournal(directory())], shortDigest);
    expect(replayed.snapshots.map(({ why }) => why)).toEqual(['start', 'gap']);
    expect(replayed).toMatchObject({ damaged: 0, skipped: 0, mismatches: [] });
    expect(replayed.steps.at(-1)?.after).toEqual(world.state);
  });

  test('what cannot be written for long is said once and costs no history', () => {
    open();
    world.observe();
    world.settle();
    renameSync(directory(), `${directory()}.kept`);
    writeFileSync(directory(), 'not a directory');
    crashLoop(3);
    rmSync(directory());
    renameSync(`${directory()}.kept`, directory());
    crashLoop(1);
    expect(troubles).toHaveLength(1);
    const replayed = replay(readJournal(directory()), shortDigest);
    expect(replayed.snapshots.map(({ why }) => why)).toEqual(['start', 'gap']);
    expect(replayed).toMatchObject({ damaged: 0, skipped: 0, mismatches: [] });
    expect(replayed.steps.at(-1)?.after).toEqual(world.state);
  });
});
