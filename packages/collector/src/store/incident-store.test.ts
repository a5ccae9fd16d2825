import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { IncidentEvidence } from '@relight/shared/protocol';
import { ManualClock } from '@relight/shared/manual-clock';
import { exampleIncident, incidentStart } from '../../../../test/support/incidents.ts';
import { openStore, type SqliteStore } from './sqlite-store.ts';
import type { IncidentFilter } from './store.ts';

let dataDir: string;
let store: SqliteStore;
beforeEach(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'relight-incidents-'));
  store = await openStore({ dataDir, clock: new ManualClock() });
});
afterEach(async () => {
  await store.close();
  rmSync(dataDir, { recursive: true });
});

const idOf = (n: number): string => `2026013${n}-120000-abcdef`;
const evidence = (incident: string, name: string, body: string): IncidentEvidence => ({
  type: 'incident-evidence',
  incident,
  item: { name, title: name, at: 1, bytes: 1 },
  body: Buffer.from(body).toString('base64'),
});
const ids = (filter: Partial<IncidentFilter> = {}): string[] =>
  store.incidents({ limit: 100, ...filter }).map(({ incident }) => incident.id);

describe('documents', () => {
  it('keeps the highest revision, whatever comes in which order', async () => {
    expect(await store.commitIncident('h', exampleIncident({ revision: 2, closedAt: null }), 5)).toEqual({ superseded: [] });
    expect(await store.commitIncident('h', exampleIncident({ revision: 4 }), 6)).toEqual({ superseded: [] });
    expect(await store.commitIncident('h', exampleIncident({ revision: 3, cause: 'older' }), 7)).toBeNull();
    expect(await store.commitIncident('h', exampleIncident({ revision: 4, cause: 'again' }), 8)).toBeNull();
    expect(store.incidents({ limit: 9 })).toEqual([{ host: 'h', receivedAt: 6, incident: exampleIncident({ revision: 4 }) }]);
  });

  it.each([0.5, 1e21, -1e308])('keeps one with the time %d, as it came', async (at) => {
    const odd = exampleIncident({ openedAt: at, closedAt: at });
    expect(await store.commitIncident('h', odd, 5)).not.toBeNull();
    expect(store.incidents({ limit: 9 }).map(({ incident }) => incident)).toEqual([odd]);
  });

  it('closes what an agent that has lost its memory left open, for that workload alone', async () => {
    const open = { closedAt: null, timeToRecoverMs: null };
    await store.commitIncident('h', exampleIncident({ id: idOf(0), ...open }), 1);
    await store.commitIncident('h', exampleIncident({ id: idOf(1), ...open, workload: 'other' }), 1);
    await store.commitIncident('g', exampleIncident({ id: idOf(2), ...open }), 1);
    const later = exampleIncident({ id: idOf(3), ...open, openedAt: incidentStart + 60_000 });
    expect(await store.commitIncident('h', later, 2)).toEqual({ superseded: store.incidentsById(idOf(0), 1) });
    expect(ids({ open: true }).toSorted()).toEqual([idOf(1), idOf(2), idOf(3)]);
    expect(ids({ open: false })).toEqual([idOf(0)]);
    expect(store.incidentsById(idOf(0), 1)[0]?.incident).toMatchObject({ closedAt: incidentStart + 60_000, timeToRecoverMs: null });
  });

  it('closes a few with one commit, beginning with what came last, and the others with the next ones; each is told once', async () => {
    const open = { closedAt: null, timeToRecoverMs: null };
    for (let n = 0; n < 9; n += 1)
      await store.commitIncident('h', exampleIncident({ id: idOf(n), ...open, openedAt: incidentStart - n * 1_000 }), 1);
    expect(ids({ open: true })).toHaveLength(9);
    const commit = async (revision: number): Promise<string[] | undefined> => {
      const id = '20260201-120000-abcdef';
      const later = exampleIncident({ id, revision, ...open, openedAt: incidentStart + 1_000 });
      return (await store.commitIncident('h', later, 2))?.superseded.map(({ incident }) => incident.id);
    };
    expect(await commit(1)).toEqual([8, 7, 6, 5].map(idOf));
    expect(await commit(2)).toEqual([4, 3, 2, 1].map(idOf));
    expect(await commit(3)).toEqual([idOf(0)]);
    expect(await commit(4)).toEqual([]);
    expect(ids({ open: true })).toEqual(['20260201-120000-abcdef']);
  });

  it('closes those of a host that is forgotten a few at a time, each once, and none that came meanwhile', async () => {
    const open = { closedAt: null, timeToRecoverMs: null };
    const id = (n: number): string => `20260130-120000-${String(n).padStart(6, '0')}`;
    const wide = 'x'.repeat(900_000);
    const came = Array.from({ length: 150 }, (_, n) =>
      exampleIncident({ id: id(n), ...open, workload: `w${n}`, cause: n < 9 ? wide : 'c' }),
    );
    await Promise.all(came.map((incident) => store.commitIncident('h', incident, 1)));
    await store.commitIncident('g', exampleIncident({ id: idOf(1), ...open }), 1);
    const first = await store.closeIncidents('h', incidentStart + 5_000);
    await store.commitIncident('h', exampleIncident({ id: idOf(2), ...open }), 2);
    const slices = [first];
    for (let { rest } = first; rest !== null; { rest } = slices.at(-1) ?? first)
      slices.push(await store.closeIncidents('h', incidentStart + 6_000, rest));
    const bytes = slices.map(({ closed }) => JSON.stringify(closed).length);
    expect(Math.max(...bytes)).toBeLessThan(5 * 1024 * 1024);
    expect(Math.max(...slices.map(({ closed }) => closed.length))).toBe(64);
    const closed = slices.flatMap((slice) => slice.closed);
    expect(closed.map(({ incident }) => incident.id).toSorted()).toEqual(came.map((incident) => incident.id));
    expect(first.closed[0]?.incident).toMatchObject({ closedAt: incidentStart + 5_000, timeToRecoverMs: null });
    expect(ids({ open: true }).toSorted()).toEqual([idOf(1), idOf(2)]);
  });

  it('filters, and pages from the newest', async () => {
    for (let n = 0; n < 5; n += 1) {
      const openedAt = incidentStart + n * 1_000;
      const workload = n % 2 === 0 ? 'even' : 'odd';
      await store.commitIncident('h', exampleIncident({ id: idOf(n), openedAt, closedAt: openedAt + 10, workload, code: `code-${n}` }), 1);
    }
    expect(ids()).toEqual([4, 3, 2, 1, 0].map(idOf));
    expect(ids({ workload: 'odd' })).toEqual([3, 1].map(idOf));
    expect(ids({ codes: ['code-1', 'code-2'] })).toEqual([2, 1].map(idOf));
    expect(ids({ levels: ['host'] })).toEqual([]);
    expect(ids({ severities: ['error'] })).toHaveLength(5);
    expect(ids({ severities: ['critical'] })).toEqual([]);
    expect(ids({ host: 'g' })).toEqual([]);
    expect(ids({ since: incidentStart + 2_005, until: incidentStart + 3_000 })).toEqual([3, 2].map(idOf));
    expect(ids({ limit: 2 })).toEqual([4, 3].map(idOf));
    expect(ids({ limit: 2, after: `h/${idOf(3)}` })).toEqual([2, 1].map(idOf));
    expect(ids({ after: 'h/gone' })).toEqual([]);
  });

  it('finds by the beginning of an id; nothing in it is a pattern', async () => {
    await store.commitIncident('h', exampleIncident({ id: idOf(0) }), 1);
    await store.commitIncident('g', exampleIncident({ id: idOf(0) }), 1);
    expect(store.incidentsById('20260130', 9)).toHaveLength(2);
    expect(store.incidentsById('*', 9)).toEqual([]);
    expect(store.incidentsById('2026?', 9)).toEqual([]);
  });
});

describe('evidence', () => {
  it('is kept once, by host, incident and name, as it came', async () => {
    expect(await store.commitIncidentEvidence('h', evidence(idOf(0), 'kernel', 'first'))).toBe(true);
    expect(await store.commitIncidentEvidence('h', evidence(idOf(0), 'kernel', 'second'))).toBe(false);
    expect(await store.commitIncidentEvidence('g', evidence(idOf(0), 'kernel', 'other host'))).toBe(true);
    expect(store.incidentEvidence('h', idOf(0), 'kernel')?.toString()).toBe('first');
    expect(store.incidentEvidence('h', idOf(0), 'disks')).toBeNull();
  });

  it('goes with its incident when that is too old', async () => {
    await store.commitIncident('h', exampleIncident({ id: idOf(0) }), incidentStart);
    await store.commitIncident('h', exampleIncident({ id: idOf(1), openedAt: incidentStart + 5_000 }), incidentStart + 5_000);
    for (const n of [0, 1]) await store.commitIncidentEvidence('h', evidence(idOf(n), 'kernel', 'x'));
    await store.prune({ eventsBefore: incidentStart + 1_000, logsBefore: 0, logsBytesMax: Number.MAX_SAFE_INTEGER });
    expect(ids()).toEqual([idOf(1)]);
    expect(store.incidentEvidence('h', idOf(0), 'kernel')).toBeNull();
    expect(store.incidentEvidence('h', idOf(1), 'kernel')).not.toBeNull();
  });
});
