import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { eventKinds } from '@relight/shared/event';
import { incidentSchema, timelineMax, type Incident } from '@relight/shared/incident';
import { abandon, emptyBook, hostKey, take, type Book, type Turn } from './book.ts';
import type { BookEvent } from './timeline.ts';

const start = 1_700_000_000_000;

/** A book that is told one event after the other. */
class Told {
  book: Book = emptyBook;
  readonly documents = new Map<string, Incident>();
  readonly turns: Turn[] = [];
  #ids = 0;

  tell(event: Partial<BookEvent> & Pick<BookEvent, 'kind'>, atMs = 0): Turn {
    const context = { freshId: `incident-${(this.#ids += 1)}`, workloads: ['w', 'v'] };
    const full: BookEvent = { severity: 'info', message: event.kind, data: {}, workload: 'w', ...event, at: start + atMs };
    const turn = take(this.book, full, context);
    this.book = turn.book;
    for (const incident of turn.changed) this.documents.set(incident.id, incident);
    this.turns.push(turn);
    return turn;
  }
}

const died = {
  kind: 'container.died',
  severity: 'error',
  data: { code: 'container-exited', exitCode: 137, detectedAfterMs: 40 },
  generation: 3,
} as const;
const scheduled = { kind: 'restart.scheduled', data: { countsAsFailure: true, level: 'container', code: 'container-exited' } } as const;
const stages = [{ stage: 'create', ms: 100 }];

describe('one failure and its recovery', () => {
  test('is one incident, from the first sign to ready, with its times', () => {
    const told = new Told();
    const opened = told.tell(died, 0);
    expect(opened.opened?.id).toBe('incident-1');
    expect(opened.incident).toBe('incident-1');
    expect(told.tell(scheduled, 1).incident).toBe('incident-1');
    told.tell({ kind: 'workload.phase-changed', data: { from: 'ready', to: 'creating' } }, 2);
    const ready = told.tell({ kind: 'workload.ready', data: { stages } }, 900);
    expect(ready.closed).toMatchObject([
      {
        id: 'incident-1',
        workload: 'w',
        generation: 3,
        openedAt: start,
        closedAt: start + 900,
        timeToDetectMs: 40,
        timeToRecoverMs: 940,
        attempts: { process: 0, container: 1, host: 0 },
        exitCode: 137,
        stages,
        byHand: false,
      },
    ]);
    expect(told.documents.get('incident-1')?.timeline.map(({ kind }) => kind)).toEqual([
      'container.died',
      'restart.scheduled',
      'workload.phase-changed',
      'workload.ready',
    ]);
    expect(told.book.last['w']).toBe('incident-1');
  });

  test('whatever else breaks meanwhile belongs to it; the cause stays the first', () => {
    const told = new Told();
    told.tell({
      kind: 'mount.lost',
      message: 'mount data (/data): Transport endpoint is not connected',
      data: { mount: 'data', target: '/data' },
    });
    told.tell({ kind: 'process.exited', data: { exitCode: 1 } }, 500);
    told.tell({ kind: 'restart.escalated' }, 600);
    told.tell({ ...died, data: { ...died.data, exitCode: 1 } }, 700);
    expect(told.tell({ kind: 'workload.ready' }, 5_000).closed).toMatchObject([{ code: 'mount-lost', escalations: 1 }]);
    expect(told.documents.size).toBe(1);
  });

  describe('what goes wrong later has another cause', () => {
    const checkFailed = {
      kind: 'restart.scheduled',
      message: 'process restart at once: not ready within 5 m: exec: exited with 1',
      data: { countsAsFailure: true, level: 'process', code: 'ready-timeout', failure: 'not ready within 5 m: exec: exited with 1' },
    } as const;
    const noImage = {
      kind: 'workload.held',
      message: 'the image x is not there. Load it.',
      data: { code: 'image-not-found', advice: 'Load it.' },
    } as const;

    test('the advice is about the last one while it is open, the cause stays the first', () => {
      const told = new Told();
      const first = told.tell(checkFailed).changed[0];
      told.tell({ kind: 'restart.escalated' }, 60_000);
      const [open] = told.tell(noImage, 61_000).changed;
      expect(open).toMatchObject({ code: 'ready-timeout', cause: first?.cause, advice: 'Load it.', revision: 3 });
      told.tell({ kind: 'workload.resumed' }, 90_000);
      const [again] = told.tell({ ...checkFailed, data: { ...checkFailed.data, code: 'disk-full', advice: 'Make room.' } }, 91_000).changed;
      expect(again).toMatchObject({ code: 'ready-timeout', advice: 'Make room.' });
      expect(told.tell({ kind: 'workload.ready' }, 120_000).closed).toMatchObject([{ code: 'ready-timeout', advice: first?.advice }]);
    });

    test('held at once after a container that ended: what no attempt mends is the advice', () => {
      const told = new Told();
      told.tell(died);
      expect(told.tell(noImage, 300).changed).toMatchObject([{ code: 'container-exited', advice: 'Load it.' }]);
    });

    test('what follows from the first, and the same again, change nothing', () => {
      const told = new Told();
      const lost = {
        kind: 'mount.lost',
        message: 'mount data (/data): not connected',
        data: { mount: 'data', code: 'mount-lost' },
      } as const;
      const advice = told.tell(lost).changed[0]?.advice;
      expect(advice).not.toBe('');
      told.tell({ kind: 'process.exited', data: { exitCode: 1, code: 'process-exited' } }, 1_000);
      expect(told.tell({ ...scheduled, data: { ...scheduled.data, code: 'process-exited' } }, 1_100).changed).toMatchObject([{ advice }]);
      told.tell(lost, 60_000);
      told.tell({ kind: 'process.exited', data: { exitCode: 1, code: 'process-exited' } }, 61_000);
      expect(told.tell({ ...scheduled, data: { ...scheduled.data, code: 'mount-lost' } }, 61_100).changed).toMatchObject([
        { code: 'mount-lost', advice },
      ]);
    });
  });

  test('a person who helped is remembered', () => {
    const told = new Told();
    told.tell({ kind: 'workload.held', message: 'no such image. Correct it.', data: { code: 'image-not-found', advice: 'Correct it.' } });
    told.tell({ kind: 'workload.resumed' }, 1_000);
    expect(told.tell({ kind: 'workload.ready' }, 2_000).closed).toMatchObject([
      { byHand: true, cause: 'no such image', advice: 'Correct it.' },
    ]);
  });

  test('what the kernel says a moment after the recovery still explains it', () => {
    const told = new Told();
    told.tell(died);
    told.tell({ kind: 'workload.ready' }, 400);
    const late = told.tell({ kind: 'container.oom', data: { process: 'python3', pid: 812, constraint: 'container' } }, 900);
    expect(late.changed).toMatchObject([{ id: 'incident-1', closedAt: start + 400, oomKilled: true, code: 'process-oom' }]);
    expect(late.changed[0]?.cause).toContain('python3 (pid 812)');
    expect(told.tell({ kind: 'container.oom' }, 60_000).changed).toEqual([]);
  });

  test('what the cloud says a moment after the recovery still explains it; what explains nothing is left out', () => {
    const told = new Told();
    told.tell(died, 0);
    told.tell({ kind: 'workload.ready' }, 800);
    const notice = (condition: string, severity: 'info' | 'warning') =>
      ({
        kind: 'host.notice',
        workload: undefined,
        severity,
        message: `${condition}: soon`,
        data: { condition, state: 'raised' },
      }) as const;
    expect(told.tell(notice('log-options', 'warning'), 2_000).changed).toEqual([]);
    const [late] = told.tell(notice('preemption', 'warning'), 4_000).changed;
    expect(late).toMatchObject({ id: 'incident-1', code: 'preemption', level: 'host', closedAt: start + 800 });
    // The next one is no part of it: it came too long after.
    told.tell({ ...died, generation: 4 }, 60_000);
    told.tell({ kind: 'workload.ready' }, 61_000);
    expect(told.tell(notice('maintenance', 'warning'), 68_000).changed.map(({ code }) => code)).not.toContain('maintenance');
  });

  test('a failing check is noticed when it began', () => {
    const told = new Told();
    told.tell({ kind: 'check.failed', data: { check: 'health' } }, 0);
    told.tell({ kind: 'restart.scheduled', data: { countsAsFailure: true, code: 'live-failed', level: 'process' } }, 600);
    expect(told.tell({ kind: 'workload.ready' }, 1_000).closed).toMatchObject([{ timeToDetectMs: 600, timeToRecoverMs: 1_000 }]);
  });
});

test('a dependency that goes while the workload is ready is its incident; one that is not there yet is not', () => {
  const told = new Told();
  const missing = { kind: 'check.failed', data: { code: 'dependency-down', dependency: 'head:6379' } } as const;
  expect(told.tell(missing).changed).toEqual([]);
  told.tell({ kind: 'workload.ready' }, 1_000);
  expect(told.tell(missing, 5_000).opened).toMatchObject({ code: 'dependency-down' });
  expect(told.tell({ kind: 'workload.ready' }, 9_000).closed).toMatchObject([
    { timeToDetectMs: 0, timeToRecoverMs: 4_000, attempts: { process: 0 } },
  ]);
  told.tell(missing, 9_500);
  expect(told.tell({ kind: 'workload.phase-changed', data: { from: 'degraded', to: 'ready' } }, 9_900).closed).toHaveLength(1);
  told.tell({ kind: 'workload.paused' }, 10_000);
  expect(told.tell(missing, 11_000).opened).toBeNull();
});

describe('is no incident', () => {
  test('a first start, an order to restart, a check that recovers', () => {
    const told = new Told();
    for (const event of [
      { kind: 'container.created' },
      { kind: 'workload.ready' },
      { kind: 'restart.scheduled', data: { countsAsFailure: false, code: 'operator', level: 'process' } },
      { kind: 'process.killed' },
      { kind: 'workload.ready' },
      { kind: 'check.failed' },
      { kind: 'check.recovered' },
    ] as const)
      expect(told.tell(event).changed).toEqual([]);
  });

  test('what breaks during a pause', () => {
    const told = new Told();
    told.tell({ kind: 'workload.paused' });
    expect(told.tell(died, 10).changed).toEqual([]);
    told.tell({ kind: 'workload.resumed' }, 20);
    told.tell({ kind: 'workload.ready' }, 30);
    expect(told.tell(died, 40).opened).not.toBeNull();
  });
});

describe('the host itself', () => {
  const host = { workload: undefined };

  test('a dead engine is an incident of its own, until it answers', () => {
    const told = new Told();
    expect(told.tell({ ...host, kind: 'engine.lost', message: 'the engine does not answer: refused' }).opened).toMatchObject({
      workload: null,
      level: 'host',
    });
    expect(told.tell({ ...host, kind: 'engine.recovered' }, 700).closed).toMatchObject([{ workload: null, timeToRecoverMs: 700 }]);
    told.tell({ kind: 'container.died', data: { code: 'engine-restarted', exitCode: 255 } }, 710);
    expect(told.tell({ kind: 'workload.ready' }, 2_000).closed).toMatchObject([{ workload: 'w', code: 'engine-restarted', level: 'host' }]);
  });

  test('a reboot is over when every workload is back', () => {
    const told = new Told();
    told.tell({ ...host, kind: 'host.booted', message: 'the machine has booted' });
    told.tell({ kind: 'container.died', data: { code: 'engine-restarted', exitCode: 255 } }, 10);
    expect(told.tell({ kind: 'workload.ready' }, 20).closed).toMatchObject([{ workload: 'w', code: 'host-rebooted' }]);
    expect(told.tell({ kind: 'workload.ready', workload: 'v' }, 30).closed).toMatchObject([
      { workload: null, code: 'host-rebooted', closedAt: start + 30 },
    ]);
  });

  test('its notices stand in the timeline of every open incident', () => {
    const told = new Told();
    told.tell(died);
    told.tell({ ...host, kind: 'host.notice', severity: 'warning', data: { condition: 'disk-low' } }, 5);
    expect(told.book.open['w']?.timeline.map(({ kind }) => kind)).toEqual(['container.died', 'host.notice']);
  });
});

test('a workload that the configuration no longer has leaves nothing open', () => {
  const told = new Told();
  told.tell(died);
  const { book, changed } = abandon(told.book, ['v'], start + 9);
  expect(book.open).toEqual({});
  expect(changed).toMatchObject([{ workload: 'w', closedAt: start + 9, timeToRecoverMs: null }]);
});

test('and nothing of the host that waited for it: with the last one gone, its reboot is over', () => {
  const told = new Told();
  told.tell({ workload: undefined, kind: 'host.booted', message: 'the machine has booted' });
  told.tell({ kind: 'workload.ready', workload: 'v' }, 5);
  expect(Object.keys(told.book.open)).toEqual([hostKey]);
  const { book, changed } = abandon(told.book, ['v'], start + 9);
  expect(book.open).toEqual({});
  expect(changed).toMatchObject([{ workload: null, code: 'host-rebooted', closedAt: start + 9 }]);
  const waiting = abandon(told.book, ['v', 'w'], start + 9);
  expect([Object.keys(waiting.book.open), waiting.changed]).toEqual([[hostKey], []]);
});

const anyEvent = fc.record({
  kind: fc.constantFrom(...eventKinds, 'observed' as const),
  workload: fc.constantFrom('w', 'v', undefined),
  severity: fc.constantFrom('info' as const, 'warning' as const, 'error' as const),
  message: fc.string({ maxLength: 900 }),
  data: fc.record(
    {
      code: fc.constantFrom('container-exited', 'process-oom', 'engine-restarted', 'operator'),
      level: fc.constantFrom('process', 'container', 'host', 7),
      countsAsFailure: fc.boolean(),
      exitCode: fc.constantFrom(0, 1, 137, null),
      detectedAfterMs: fc.constantFrom(-5, 0, 100, null),
      advice: fc.string({ maxLength: 1_000 }),
      stages: fc.constantFrom([], [{ stage: 's', ms: 1 }]),
    },
    { requiredKeys: [] },
  ),
  afterMs: fc.integer({ min: -2_000, max: 30_000 }),
});

test('whatever happens: at most one open for each, every document valid and bounded, opened and closed once, revisions only grow', () => {
  fc.assert(
    fc.property(fc.array(anyEvent, { maxLength: 300 }), (events) => {
      const told = new Told();
      const revisions = new Map<string, number>();
      const state = new Map<string, 'open' | 'closed'>();
      let at = 0;
      for (const { afterMs, ...event } of events) {
        at += afterMs;
        const turn = told.tell(event, at);
        const opened = turn.opened === null ? [] : [turn.opened.id];
        expect(opened.filter((id) => state.has(id))).toEqual([]);
        for (const id of opened) state.set(id, 'open');
        for (const { id } of turn.closed) {
          expect(state.get(id)).toBe('open');
          state.set(id, 'closed');
        }
        for (const incident of turn.changed) {
          expect(incident.revision).toBeGreaterThan(revisions.get(incident.id) ?? 0);
          revisions.set(incident.id, incident.revision);
          incidentSchema.parse(incident);
          expect(incident.timeline.length).toBeLessThanOrEqual(timelineMax);
          expect(JSON.stringify(incident).length).toBeLessThan(250 * 1024);
          expect(incident.closedAt === null).toBe(state.get(incident.id) === 'open');
        }
        const open = Object.entries(told.book.open);
        expect(new Set(open.map(([, { id }]) => id))).toEqual(new Set([...state].filter(([, now]) => now === 'open').map(([id]) => id)));
        for (const [key, { workload }] of open) expect(workload ?? hostKey).toBe(key);
        expect(JSON.stringify(told.book).length).toBeLessThan(2_000_000);
      }
      // Ready again, and the engine answers: nothing stays open.
      told.tell({ kind: 'engine.recovered', workload: undefined }, at);
      told.tell({ kind: 'workload.ready', workload: 'w' }, at);
      told.tell({ kind: 'workload.ready', workload: 'v' }, at);
      expect(told.book.open).toEqual({});
    }),
    { numRuns: 60 },
  );
});
