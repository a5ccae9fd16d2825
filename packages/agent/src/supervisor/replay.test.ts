import fc from 'fast-check';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { steps } from '../../../../test/support/anything-happens.ts';
import { SimulatedWorld } from '../../../../test/support/simulated-world.ts';
import { workloadFixture } from '../../../../test/support/specs.ts';
import type { WorkloadSpec } from '../config/spec.ts';
import { readJournal, shortDigest, WorkloadJournal, journalDirectory, type JournalStep } from '../workload-journal.ts';
import { decodeRecord, encodeRecord, type JournalRecord, withoutSecrets } from './journal.ts';
import { replay } from './replay.ts';

interface Recorded {
  readonly world: SimulatedWorld;
  readonly journal: WorkloadJournal;
  readonly directory: string;
  readonly taken: JournalStep[];
}

/** A world whose every transition is journalled and flushed. */
function recorded(spec: WorkloadSpec = workloadFixture(), segmentBytes = 1024 * 1024): Recorded {
  const stateDir = mkdtempSync(join(tmpdir(), 'journal-'));
  const world = new SimulatedWorld(spec);
  const taken: JournalStep[] = [];
  const journal = new WorkloadJournal({
    stateDir,
    spec,
    ownerId: 'owner',
    version: '1.0.0',
    wallNow: () => world.now,
    onTrouble: (message) => {
      throw new Error(message);
    },
    limits: { segmentBytes, segments: 4 },
  });
  world.onStep = (step) => {
    taken.push(step);
    journal.record(step);
    journal.flush(step.after);
  };
  return { world, journal, directory: journalDirectory(stateDir, spec.name), taken };
}

const records = ({ directory }: Recorded): JournalRecord[] => readJournal(directory).filter((record) => record !== undefined);

describe('a replay', () => {
  const anything = fc.array(fc.constantFrom(...Object.keys(steps).filter((name) => !name.startsWith('crash') && name !== 'stateLost')), {
    maxLength: 60,
  });
  const fixtures = fc.constantFrom(
    workloadFixture(),
    workloadFixture({}, { onDeath: 'start' }),
    workloadFixture({ process: null, live: [] }),
  );

  test('of whatever happened decides exactly as it was decided', () => {
    fc.assert(
      fc.property(fixtures, anything, fc.constantFrom(4_000, 1024 * 1024), (spec, names, segmentBytes) => {
        const world = recorded(spec, segmentBytes);
        world.world.observe();
        for (const name of names) steps[name]!(world.world);
        const replayed = replay(readJournal(world.directory), shortDigest);
        expect(replayed).toMatchObject({ damaged: 0, skipped: 0, mismatches: [] });
        const all = world.taken.filter(
          ({ before, after, effects }) => effects.length > 0 || JSON.stringify(before) !== JSON.stringify(after),
        );
        // With small segments the oldest are gone; what is left is the end, without a hole.
        const last = all.slice(all.length - replayed.steps.length);
        expect(replayed.steps.map(({ effects }) => effects)).toEqual(last.map(({ effects }) => effects));
        expect(replayed.steps.length === all.length || segmentBytes === 4_000).toBe(true);
        expect(replayed.steps.at(-1)?.after).toEqual(all.at(-1)?.after);
        expect(replayed.steps.at(-1)?.after).toEqual(world.world.state);
      }),
      { numRuns: Number(process.env['RELIGHT_PROPERTY_RUNS'] ?? 200) },
    );
  });

  test('goes on over the lives of the agent', () => {
    const world = recorded();
    world.world.observe();
    expect(world.world.settle()).toBe(true);
    const second = new WorkloadJournal({
      stateDir: join(world.directory, '..', '..'),
      spec: world.world.spec,
      ownerId: 'owner',
      version: '1.0.1',
      wallNow: () => world.world.now,
      onTrouble: () => {},
    });
    world.world.onStep = (step) => {
      second.record(step);
      second.flush(step.after);
    };
    world.world.crashAgent(false, false);
    expect(world.world.settle()).toBe(true);
    const replayed = replay(readJournal(world.directory), shortDigest);
    expect(replayed.snapshots.map(({ why, version }) => `${why} ${version}`)).toEqual(['start 1.0.0', 'start 1.0.1']);
    expect(replayed.mismatches).toEqual([]);
    expect(replayed.steps.at(-1)?.after).toEqual(world.world.state);
  });

  test('names the first input that is decided otherwise today, and who recorded it', () => {
    const world = recorded();
    world.world.observe();
    world.world.settle();
    const all = records(world);
    const index = all.findIndex((record) => record.kind === 'input' && record.event.type === 'op-done');
    const changed = all.map((record, i): JournalRecord =>
      i === index && record.kind === 'input' ? { ...record, digest: 'other' } : record,
    );
    const { mismatches } = replay(changed, shortDigest);
    expect(mismatches).toEqual([
      { input: index, at: changed[index]?.at, type: 'op-done', recordedBy: '1.0.0', why: expect.any(String) as string },
    ]);
  });

  test('tolerates half a line at the end, and goes on behind one in the middle', () => {
    const world = recorded();
    world.world.observe();
    world.world.settle();
    const lines = records(world).map(encodeRecord);
    const cut = [...lines.slice(0, -1), lines.at(-1)!.slice(0, 40)].map(decodeRecord);
    expect(replay(cut, shortDigest)).toMatchObject({ damaged: 1, skipped: 0, mismatches: [] });
    const snapshot = lines[0]!;
    const middle = [...lines.slice(0, 3), lines[3]!.slice(0, 40), lines[4]!, snapshot, lines[1]!].map(decodeRecord);
    const replayed = replay(middle, shortDigest);
    expect(replayed).toMatchObject({ damaged: 1, skipped: 1, mismatches: [] });
    expect(replayed.steps).toHaveLength(3);
  });
});

test('text of programs and people loses its secrets, names and ids do not', () => {
  const redact = <V>(value: V): V => JSON.parse(JSON.stringify(value).replaceAll('sesame', '[redacted]')) as V;
  const event = {
    type: 'op-done',
    opId: 1,
    result: { ok: false, failure: { code: 'setup-failed', message: 'said sesame', data: { lastLine: 'sesame' } } },
    lastLines: ['a sesame', 'b'],
    runId: 'owner/sesame/1/1/process/',
  };
  expect(withoutSecrets(event, redact)).toEqual({
    ...event,
    result: { ok: false, failure: { code: 'setup-failed', message: 'said [redacted]', data: { lastLine: '[redacted]' } } },
    lastLines: ['a [redacted]', 'b'],
  });
});
