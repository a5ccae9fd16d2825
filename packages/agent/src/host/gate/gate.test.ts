import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { clearOf, gateDueAt, initialGate, look, type GateNews, type GateState, type Reading } from './gate.ts';

const policy = { quietForMs: 5_000, timeoutMs: 60_000 };
const settles = (name: string, ok: boolean, message = `${name} is ${ok ? 'fine' : 'not'}`): Reading => ({
  name,
  hold: 'settles',
  ok,
  message,
});
const firm = (name: string, ok: boolean, more: Partial<Reading> = {}): Reading => ({ ...settles(name, ok), hold: 'firm', ...more });

/** A gate that is looked at again and again. */
function bench(settled = true) {
  let state = initialGate(0);
  const told: string[] = [];
  return {
    told,
    state: () => state,
    at(now: number, ...readings: readonly Reading[]): GateState {
      const step = look(state, readings, policy, now, settled);
      state = step.state;
      told.push(...step.news.map(words));
      return state;
    },
  };
}

const words = (news: GateNews): string =>
  news.kind === 'opened'
    ? `opened after ${news.waitedMs}`
    : news.kind === 'waived'
      ? `waived ${news.conditions.map(({ name }) => name).join()}`
      : 'waiting';

describe('the gate', () => {
  test('before the first look nothing may begin', () => {
    expect(initialGate(0)).toMatchObject({ open: false });
  });

  test('a machine that has been up for a while is open at the first look', () => {
    const gate = bench();
    expect(gate.at(100, settles('apt', true), firm('engine', true))).toMatchObject({ open: true, since: 100, deadlineAt: null });
    expect(gate.told).toEqual([]);
  });

  test('after a boot everything must have been quiet', () => {
    const gate = bench(false);
    expect(gate.at(0, settles('apt', true))).toMatchObject({ open: false, reason: "the host's gate: everything must be quiet for 5.0 s" });
    expect(gateDueAt(gate.state(), policy, 0)).toBe(5_000);
    expect(gate.at(4_999, settles('apt', true)).open).toBe(false);
    expect(gate.at(5_000, settles('apt', true))).toMatchObject({ open: true, since: 5_000 });
  });

  test('closes at once, opens after the quiet time, and says why once', () => {
    const gate = bench();
    gate.at(0, settles('apt', true));
    const closed = gate.at(10_000, settles('apt', false, 'apt-get (pid 812) holds the lock'));
    expect(closed).toMatchObject({
      open: false,
      since: 10_000,
      deadlineAt: 70_000,
      reason: "the host's gate: apt-get (pid 812) holds the lock",
    });
    gate.at(10_500, settles('apt', false, 'apt-get (pid 812) holds the lock'));
    gate.at(11_000, settles('apt', true));
    expect(gate.at(15_999, settles('apt', true)).open).toBe(false);
    expect(gate.at(16_000, settles('apt', true))).toMatchObject({ open: true, since: 16_000, deadlineAt: null });
    expect(gate.told).toEqual(['waiting', 'opened after 6000']);
  });

  test('one event a cause and wait, whatever number stands in the message, however often it comes and goes', () => {
    const gate = bench();
    gate.at(0, settles('apt', true), settles('tcp', true));
    for (let n = 1; n < 20; n += 1) {
      gate.at(n * 1_000, { ...settles('apt', n % 2 === 0, `dpkg (pid ${n})`), cause: 'dpkg' }, settles('tcp', n < 10));
    }
    expect(gate.told).toEqual(['waiting', 'waiting']);
  });

  test('at the deadline it opens without what is not satisfied, and each cause costs one wait only', () => {
    const gate = bench();
    gate.at(0, settles('apt', false), settles('tcp', true));
    expect(gate.at(59_999, settles('apt', false), settles('tcp', true)).open).toBe(false);
    const open = gate.at(60_000, settles('apt', false), settles('tcp', true));
    expect(open).toMatchObject({ open: true, reason: 'open although apt is not', deadlineAt: null });
    expect(gate.at(90_000, settles('apt', false), settles('tcp', true)).open).toBe(true);
    // Another cause has a wait of its own, and the waived one still costs nothing.
    expect(gate.at(100_000, settles('apt', false), settles('tcp', false))).toMatchObject({ open: false, deadlineAt: 160_000 });
    gate.at(101_000, settles('apt', false), settles('tcp', true));
    expect(gate.at(106_000, settles('apt', false), settles('tcp', true)).open).toBe(true);
    // Satisfied for a moment only: the same cause. For the quiet time: another one.
    gate.at(107_000, settles('apt', true), settles('tcp', true));
    expect(gate.at(109_000, settles('apt', false), settles('tcp', true)).open).toBe(true);
    gate.at(110_000, settles('apt', true), settles('tcp', true));
    gate.at(115_000, settles('apt', true), settles('tcp', true));
    expect(gate.at(116_000, settles('apt', false), settles('tcp', true)).open).toBe(false);
    expect(gate.told).toEqual(['waiting', 'waived apt', 'opened after 60000', 'waiting', 'opened after 6000', 'waiting']);
  });

  test('a firm condition is never waived, needs no quiet time, and has no deadline', () => {
    const gate = bench();
    gate.at(0, settles('apt', true), firm('setup', false));
    expect(gate.at(1e9, settles('apt', true), firm('setup', false))).toMatchObject({ open: false, deadlineAt: null });
    expect(gate.at(1e9 + 1, settles('apt', true), firm('setup', true)).open).toBe(true);
  });

  test('what others tell of is not told again', () => {
    const gate = bench();
    gate.at(0, firm('engine', false, { toldElsewhere: true }));
    expect(gate.at(1, firm('engine', true)).open).toBe(true);
    expect(gate.told).toEqual([]);
  });

  test('some conditions can be asked about alone', () => {
    const gate = bench();
    const name = (asked: string): boolean => asked === 'apt';
    expect(clearOf(gate.state(), name, policy, 0)).toBe(false);
    gate.at(0, settles('apt', true), settles('tcp', false), firm('engine', false));
    expect(clearOf(gate.state(), name, policy, 0)).toBe(true);
    gate.at(1, settles('apt', false), settles('tcp', false));
    expect(clearOf(gate.state(), name, policy, 1)).toBe(false);
  });
});

const names = ['apt', 'reboot', 'tcp'] as const;
type Name = (typeof names)[number];
interface Look {
  readonly afterMs: number;
  readonly ok: Readonly<Record<Name, boolean>>;
  readonly setup: boolean;
}
const history = fc.array(
  fc.record({
    afterMs: fc.integer({ min: 1, max: 20_000 }),
    ok: fc.record({ apt: fc.boolean(), reboot: fc.boolean(), tcp: fc.boolean() }),
    setup: fc.boolean(),
  }),
  { maxLength: 60 },
);

/** What must hold after a look, whatever came before; the names of the rules that it breaks. */
function broken(looks: readonly Look[], settled: boolean): readonly string[] {
  let state = initialGate(0);
  let now = 0;
  let disturbed = false;
  let disturbedSince = 0;
  let tellings = 0;
  const faults: string[] = [];
  const since = new Map<string, { readonly ok: boolean; readonly at: number }>();
  const waived = new Set<string>();
  for (const [n, { afterMs, ok, setup }] of looks.entries()) {
    const wasOpen = state.open;
    now += afterMs;
    for (const name of names) {
      if (since.get(name)?.ok !== ok[name]) since.set(name, { ok: ok[name], at: n === 0 && settled && ok[name] ? -Infinity : now });
    }
    const step = look(state, [...names.map((name) => settles(name, ok[name])), firm('setup', setup)], policy, now, settled);
    state = step.state;
    const isQuiet = (name: Name): boolean => ok[name] && now - (since.get(name)?.at ?? now) >= policy.quietForMs;
    for (const name of names) if (isQuiet(name)) waived.delete(name);
    const held = names.filter((name) => !waived.has(name) && !isQuiet(name));
    if (!disturbed && held.length > 0) disturbedSince = now;
    disturbed = held.length > 0;
    const expired = held.some((name) => state.conditions.find((condition) => condition.name === name)?.waived === true);
    for (const name of expired ? held : []) waived.add(name);
    if (expired) disturbed = false;
    if (state.open) tellings = 0;
    else tellings += step.news.filter(({ kind }) => kind === 'waiting').length;
    const due = gateDueAt(state, policy, now);
    const rules: Readonly<Record<string, boolean>> = {
      'open exactly when nothing holds it': state.open === (setup && (expired || held.length === 0)),
      'never waiting beyond the deadline': state.open || !setup || now - disturbedSince < policy.timeoutMs,
      'nothing is waived before the deadline': !expired || now - disturbedSince >= policy.timeoutMs,
      'one telling a cause and wait': tellings <= names.length + 1,
      'a due moment lies ahead': due === null || due > now,
      'open has no deadline': !state.open || (state.deadlineAt === null && due === null),
      'opened is told only of a wait': !step.news.some(({ kind }) => kind === 'opened') || (!wasOpen && state.open),
    };
    faults.push(...Object.keys(rules).filter((rule) => rules[rule] !== true));
  }
  return faults;
}

/** What comes up just when setup is done, behind the deadline of what was there before: a cause of its own, with a wait of its own. */
const newCauseBehindTheDeadline: readonly Look[] = [
  { afterMs: 1, ok: { apt: false, reboot: false, tcp: false }, setup: false },
  { afterMs: 50_000, ok: { apt: false, reboot: false, tcp: true }, setup: false },
  { afterMs: 10_000, ok: { apt: false, reboot: false, tcp: true }, setup: false },
  { afterMs: 15_000, ok: { apt: false, reboot: false, tcp: false }, setup: true },
  { afterMs: 45_000, ok: { apt: false, reboot: false, tcp: false }, setup: true },
  { afterMs: 1, ok: { apt: false, reboot: false, tcp: false }, setup: true },
  { afterMs: 14_999, ok: { apt: false, reboot: false, tcp: false }, setup: true },
];

test('whatever happens: open exactly when nothing holds it, and never waiting beyond the deadline', () => {
  fc.assert(
    fc.property(history, fc.boolean(), (looks, settled) => {
      expect(broken(looks, settled)).toEqual([]);
    }),
    { numRuns: 500, examples: [[[...newCauseBehindTheDeadline], false]] },
  );
});
