import { appendFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { SimulatedWorld } from '../../../../test/support/simulated-world.ts';
import { parseConfig } from '../config/load.ts';
import { agentVersion } from '../version.ts';
import { journalDirectory, WorkloadJournal } from '../workload-journal.ts';
import { recordedIo, temporaryDirectory, writeTo } from './recorded-io.ts';
import { replayCommand, type ReplayOptions } from './replay-command.ts';
import type { ReplayDocument } from './replay-view.ts';
import type { WhatIfDocument } from './what-if-view.ts';

let stateDir: string;
let world: SimulatedWorld;
/** Of the process that died three times. */
let failedAt = 0;

const policy = (initial: string, escalate: number): Record<string, unknown> => ({
  process: { initial, max: '60s', factor: 2, jitter: 0, escalate_after: escalate },
});
const config = (restart: Record<string, unknown>): Record<string, unknown> => ({
  version: 1,
  workloads: [
    {
      name: 'worker',
      container: { name: 'worker', image: 'image:1' },
      process: { run: 'serve' },
      ready: [{ tcp: 'localhost:1' }],
      restart,
    },
  ],
});

function settled(): void {
  if (!world.settle()) throw new Error(`stuck in ${world.state.phase}: ${world.state.reason}`);
}

beforeEach(() => {
  stateDir = temporaryDirectory();
  const text = readFileSync(writeTo(stateDir, 'agent.yaml', config(policy('2s', 10))), 'utf8');
  const spec = parseConfig(text, 'agent.yaml', { hostname: 'h' }).workloads[0]!;
  world = new SimulatedWorld(spec);
  const journal = new WorkloadJournal({
    stateDir,
    spec,
    ownerId: 'owner',
    version: agentVersion,
    wallNow: () => world.now,
    onTrouble: (message) => {
      throw new Error(message);
    },
  });
  world.onStep = (step) => {
    journal.record(step);
    journal.flush(step.after);
  };
  world.observe();
  settled();
  world.advance(3_600_000);
  failedAt = world.now;
  for (let i = 0; i < 3; i += 1) {
    for (let guard = 0; guard < 100 && world.processes().length === 0; guard += 1) {
      world.finishOp();
      world.advance(500);
    }
    world.killProcess(7);
  }
  settled();
});
afterEach(() => rmSync(stateDir, { recursive: true }));

interface Told {
  readonly code: number;
  readonly text: string;
  readonly replays: readonly (ReplayDocument & { readonly whatIf?: WhatIfDocument })[];
}

async function run(id?: string, options: ReplayOptions = {}): Promise<Told> {
  const io = recordedIo();
  const code = await replayCommand(id, { stateDir, ...options }, io);
  const text = io.out.join('');
  return { code, text, replays: options.json === true ? (JSON.parse(text) as Told).replays : [] };
}

describe('replay', () => {
  test('tells every decision with its reason, and that it is the same as then', async () => {
    const { code, text } = await run(undefined, { since: failedAt });
    expect(code).toBe(0);
    expect(text).toContain('every decision is the same');
    expect(text).toMatch(/ \+0\.000 s {2}a run ended: the process, exit code 7\n/);
    expect(text).toContain('→ restart.scheduled: process restart at once (at once after a stable run): process exited with code 7');
    expect(text).toContain('→ restart.scheduled: process restart in 2.0 s');
    expect(text).toMatch(/begin operation \d+: start the process/);
    expect(text).toMatch(/operation \d+ \(start the process\) done in/);
    expect(text).toContain('→ workload.ready: ready after');
  });

  test('of an incident shows its time alone', async () => {
    const id = '20260131-120000-abcdef';
    mkdirSync(join(stateDir, 'incidents', id), { recursive: true });
    const incident = { id, workload: 'worker', openedAt: failedAt + 1, failedAt, closedAt: failedAt + 1_000 };
    writeFileSync(join(stateDir, 'incidents', id, 'incident.json'), JSON.stringify(incident));
    const { replays } = await run(id, { json: true });
    expect(replays).toHaveLength(1);
    expect(replays[0]).toMatchObject({ workload: 'worker', incident: id, exact: true, from: new Date(failedAt).toISOString() });
    expect(Date.parse(replays[0]?.to ?? '')).toBeLessThanOrEqual(failedAt + 1_000);
    expect(replays[0]?.steps[0]?.decisions).toContainEqual(expect.stringContaining('process.exited'));
  });

  test('under another policy: what would have been decided, and what is taken for granted', async () => {
    const other = writeTo(stateDir, 'new.yaml', config(policy('100ms', 2)));
    const { replays } = await run(undefined, { since: failedAt, config: other, json: true });
    const whatIf = replays[0]?.whatIf;
    const schedule = (decisions: WhatIfDocument['recorded'] = []): readonly unknown[] =>
      decisions.filter(({ kind }) => kind === 'restart.scheduled').map(({ data }) => [data['level'], data['delayMs']]);
    expect(schedule(whatIf?.recorded)).toEqual([
      ['process', 0],
      ['process', 2_000],
      ['process', 4_000],
    ]);
    expect(schedule(whatIf?.simulated)).toEqual([
      ['process', 0],
      ['container', 1_000],
      ['process', 200],
    ]);
    expect(whatIf?.changes).toEqual(['restart']);
    expect(whatIf?.readyAfterMs).toBeLessThan(whatIf?.recordedReadyAfterMs ?? 0);
    const { text } = await run(undefined, { since: failedAt, config: other });
    expect(text).toContain('The same failures with new.yaml (it differs in restart):');
    expect(text).toContain('Taken for granted:');
  });

  test('half a line at the end costs only that line', async () => {
    const [segment] = readdirSync(journalDirectory(stateDir, 'worker'));
    appendFileSync(join(journalDirectory(stateDir, 'worker'), segment!), '{"kind":"input","at":12');
    expect(await run(undefined, { json: true })).toMatchObject({ code: 0, replays: [{ exact: true, damaged: 1, skipped: 0 }] });
  });

  test('a decision that would be another one today is named, with the version that took it', async () => {
    const path = join(journalDirectory(stateDir, 'worker'), readdirSync(journalDirectory(stateDir, 'worker'))[0]!);
    const lines = readFileSync(path, 'utf8').split('\n');
    const index = lines.findIndex((line) => line.includes('"type":"run-exited"'));
    lines[index] = lines[index]!.replace('"exitCode":7', '"exitCode":8');
    lines[0] = lines[0]!.replace(`"version":"${agentVersion}"`, '"version":"0.0.9"');
    writeFileSync(path, lines.join('\n'));
    const { code, text } = await run();
    expect(code).toBe(1);
    expect(text).toMatch(
      new RegExp(`! input ${index} \\(run-exited, .*, recorded by 0\\.0\\.9\\): state or effects are not what they were`),
    );
  });

  test.each([
    ['no-such-incident', {}, 'there is no incident no-such-incident'],
    [undefined, { until: 5 }, 'the journal reaches from'],
    [undefined, { workload: 'other' }, 'there is no journal of other'],
    ['../x', {}, 'is not the id of an incident'],
  ])('%s %j: says what is not there', async (id, options, message) => {
    await expect(run(id, options)).rejects.toThrow(message);
  });
});
