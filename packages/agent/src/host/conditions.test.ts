import { ManualClock } from '@relight/shared/manual-clock';
import { severities, type AgentEvent, type NewAgentEvent } from '@relight/shared/event';
import { hostConditionSchema, hostConditionsMax } from '@relight/shared/status';
import fc from 'fast-check';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { noHistory } from '../../../../test/support/no-history.ts';
import { diffConditions, type ReportedCondition } from './condition-diff.ts';
import { HostConditions } from './conditions.ts';

const low: ReportedCondition = { name: 'disk-low', subject: '/', severity: 'warning', reason: '4 % free', advice: 'Free space.' };

const scratchDirectory = (): string => mkdtempSync(join(tmpdir(), 'relight-conditions-'));

function bench(stateDir = scratchDirectory(), bootId = 'boot-1', clock = new ManualClock()) {
  const said: string[] = [];
  let changes = 0;
  const conditions = new HostConditions({
    clock,
    stateDir,
    bootId,
    redact: (text) => text.replaceAll('hunter2', '[redacted]'),
    history: noHistory,
    emit: ({ kind, severity, message, data }) => void said.push(`${kind} ${severity} ${String(data['state'])}: ${message}`),
    onChange: () => (changes += 1),
  });
  return { clock, stateDir, conditions, said, changes: () => changes };
}

describe('the registry', () => {
  test('raised and cleared are events; new words for the same are not', () => {
    const { clock, conditions, said, changes } = bench();
    const since = clock.now();
    conditions.set('disks', [low]);
    clock.advance(10_000);
    conditions.set('disks', [{ ...low, reason: '3 % free' }]);
    expect(conditions.list()).toEqual([{ ...low, reason: '3 % free', since }]);
    conditions.set('disks', []);
    expect(conditions.list()).toEqual([]);
    expect(said).toEqual([
      'host.notice warning raised: disk-low /: 4 % free',
      'host.notice info cleared: disk-low / is over; it was: 3 % free',
    ]);
    expect(changes()).toBe(2);
  });

  test('getting worse is said, getting better is not', () => {
    const { conditions, said } = bench();
    conditions.set('disks', [low]);
    conditions.set('disks', [{ ...low, severity: 'critical', reason: 'full' }]);
    conditions.set('disks', [low]);
    expect(said).toEqual(['host.notice warning raised: disk-low /: 4 % free', 'host.notice critical raised: disk-low /: full']);
    expect(conditions.list()).toMatchObject([{ severity: 'warning' }]);
  });

  test('what others wrote is freed of secrets before it is cut to size; names and subjects stay', () => {
    const { conditions, said } = bench();
    conditions.set('disks', [{ ...low, subject: 'hunter2', reason: `${'x'.repeat(2_042)}hunter2`, advice: 'Free hunter2.' }]);
    const [condition] = conditions.list();
    expect(condition).toMatchObject({ subject: 'hunter2', advice: 'Free [redacted].' });
    expect(condition?.reason).toMatch(/x\[reda…$/);
    expect(said.join()).not.toMatch(/x.*hunt/);
  });

  test('facts of the moment go into the event, and do not last', () => {
    const events: object[] = [];
    const conditions = new HostConditions({
      clock: new ManualClock(),
      stateDir: scratchDirectory(),
      bootId: 'boot-1',
      redact: (text) => text,
      history: noHistory,
      emit: ({ data }) => void events.push(data),
      onChange: () => {},
    });
    conditions.set('cloud', [{ ...low, data: { leftMs: 120_000 } }]);
    conditions.set('cloud', []);
    expect(events).toMatchObject([{ condition: 'disk-low', state: 'raised', leftMs: 120_000 }, { state: 'cleared' }]);
    expect(events[1]).not.toHaveProperty('leftMs');
    conditions.set('cloud', [{ ...low, data: { leftMs: 1 } }]);
    expect(conditions.list()[0]).not.toHaveProperty('data');
    conditions.dispose();
  });

  test.each([0, 1])('killed after %i of two notices: the next life tells the others', (count) => {
    const stateDir = scratchDirectory();
    const position = { epoch: 'one', seq: 7 };
    const appended: AgentEvent[] = [];
    const life = (emit: (event: NewAgentEvent) => void) =>
      new HostConditions({
        clock: new ManualClock(),
        stateDir,
        bootId: 'boot-1',
        redact: (text) => text,
        history: { position, since: (after) => (after.epoch === 'one' && after.seq === 7 ? [...appended] : null) },
        emit,
        onChange: () => {},
      });
    const dying = life((event) => {
      if (appended.length === count) throw new Error('killed');
      appended.push({ ...event, seq: 8 + appended.length });
    });
    expect(() => dying.set('disks', [low, { ...low, subject: '/data' }])).toThrow('killed');
    const told: string[] = [];
    life(({ message }) => void told.push(message)).dispose();
    expect([...appended.map(({ message }) => message), ...told]).toEqual(['disk-low /: 4 % free', 'disk-low /data: 4 % free']);
  });

  test('sources do not disturb each other; the worst is first', () => {
    const { conditions } = bench();
    conditions.set('disks', [low]);
    conditions.set('kernel', [{ ...low, name: 'gpu-xid', subject: '0000:3b:00', severity: 'critical' }]);
    conditions.set('other', []);
    expect(conditions.list().map(({ name }) => name)).toEqual(['gpu-xid', 'disk-low']);
  });

  test('a restart of the agent raises nothing again', () => {
    const first = bench();
    first.conditions.set('disks', [low]);
    const since = first.clock.now();
    first.clock.advance(5_000);
    const second = bench(first.stateDir, 'boot-1', first.clock);
    expect(second.conditions.list()).toEqual([{ ...low, since }]);
    second.conditions.set('disks', [low]);
    expect(second.conditions.list()).toEqual([{ ...low, since }]);
    expect(second.said).toEqual([]);
  });

  test('what no source confirms after a restart is cleared in the end', () => {
    const first = bench();
    first.conditions.set('gone', [low]);
    first.conditions.set('disks', [{ ...low, subject: '/data' }]);
    const second = bench(first.stateDir);
    second.conditions.set('disks', [{ ...low, subject: '/data' }]);
    second.clock.advance(119_000);
    expect(second.conditions.list()).toHaveLength(2);
    second.clock.advance(1_000);
    expect(second.conditions.list()).toMatchObject([{ subject: '/data' }]);
  });

  test('a reboot clears everything', () => {
    const first = bench();
    first.conditions.set('kernel', [low]);
    const second = bench(first.stateDir, 'boot-2');
    expect(second.conditions.list()).toEqual([]);
    expect(second.said).toEqual(['host.notice info cleared: disk-low / is over; it was: 4 % free']);
  });

  test('a state directory that takes nothing changes nothing but the memory', () => {
    const unusable = join(scratchDirectory(), 'file');
    writeFileSync(unusable, '');
    const { stateDir, conditions, said } = bench(join(unusable, 'state'));
    conditions.set('disks', [low]);
    expect(said).toHaveLength(1);
    expect(bench(stateDir).conditions.list()).toEqual([]);
  });

  test('a file that is damaged is as good as none', () => {
    const stateDir = scratchDirectory();
    const first = bench(stateDir);
    first.conditions.set('disks', [{ ...low, severity: 'x'.repeat(65) as 'info' }]);
    expect(bench(stateDir).conditions.list()).toEqual([]);
  });
});

const reported = fc.record({
  name: fc.constantFrom('a', 'b', 'x'.repeat(100)),
  subject: fc.constantFrom('', '/', 'y'.repeat(1_000)),
  severity: fc.constantFrom(...severities),
  reason: fc.string({ maxLength: 5_000 }),
  advice: fc.string(),
});

test('whatever is reported: unique, within the limits of a heartbeat, and every change is told once', () => {
  fc.assert(
    fc.property(fc.array(fc.array(reported, { maxLength: 8 }), { maxLength: 8 }), (reports) => {
      let known = diffConditions([], [], 0).after;
      const open = new Map<string, number>();
      for (const [at, report] of reports.entries()) {
        const { after, changes } = diffConditions(known, report, at);
        known = after;
        for (const { state, condition } of changes) {
          const key = `${condition.name} ${condition.subject}`;
          const told = state === 'raised' ? open.set(key, condition.since).has(key) : open.delete(key);
          expect(told).toBe(true);
        }
        const keys = known.map(({ name, subject }) => `${name} ${subject}`);
        expect(new Set(keys).size).toBe(keys.length);
        expect([...open.keys()].toSorted()).toEqual(keys.toSorted());
        for (const condition of known) hostConditionSchema.parse(condition);
      }
    }),
  );
});

test('a heartbeat is never too long', () => {
  const { conditions } = bench();
  conditions.set(
    'many',
    Array.from({ length: hostConditionsMax + 50 }, (_, i) => ({ ...low, subject: `/${i}` })),
  );
  conditions.set('one', [{ ...low, name: 'worst', severity: 'critical' }]);
  expect(conditions.list()).toHaveLength(hostConditionsMax);
  expect(conditions.list()[0]?.name).toBe('worst');
});
