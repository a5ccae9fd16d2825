/**
 * The host's gate at work: looks at its conditions all along, slowly while it is open, and tells every workload when it closes
 * or opens. On a quiet host it costs a recovery nothing, because the answer is there before anybody asks.
 */
import { isoTime } from '@relight/shared/api';
import { onBeat } from '@relight/shared/beat';
import type { Clock, Timer } from '@relight/shared/clock';
import { RelightError } from '@relight/shared/errors';
import type { NewAgentEvent } from '@relight/shared/event';
import type { HostGateStatus } from '@relight/shared/status';
import { formatDurationMs } from '@relight/shared/units';
import type { GateSpec } from '../../config/spec.ts';
import type { ReportedCondition } from '../conditions.ts';
import { clearOf, gateDueAt, initialGate, look, type GateNews, type GateState, type Reading } from './gate.ts';
import type { GuardSpec, HandsOff } from './hands-off.ts';
import type { HostSetup } from './host-setup.ts';
import {
  asksPackageManager,
  beforeSetup,
  packageManagerUnknown,
  readUptimeMs,
  seeBoot,
  seeHandsOff,
  seePackageManager,
  seePendingReboot,
  seeScheduledShutdown,
  type Seen,
} from './readings.ts';
import { TcpTargets } from './tcp-targets.ts';

/** While it is open nobody may need it for hours; whoever begins an attempt glances at it before. */
const restMs = 10_000;
const waitingMs = 500;
/** A recovery is a dozen events within milliseconds. */
const glanceMsMin = 25;
/** The table of locks costs everybody more than it costs us. */
const locksMsMin = 250;
/** What is younger has just booted: its provisioning may go on, and reboot it again. */
const youngMs = 2 * 60_000;
/** Nobody's start waits longer than this for the first answers of TCP targets. */
const firstAnswersMs = 1_000;
const freshAnswerMs = 1_000;
/** Shorter waits are told by events alone. */
const toldAfterMs = 60_000;

export interface HostGateOptions {
  readonly spec: GateSpec;
  readonly guard: GuardSpec;
  readonly bootId: string;
  /** The machine has booted since an agent last ran here. */
  readonly rebooted: boolean;
  readonly setup: HostSetup;
  /** Frees what programs and people of this host wrote of secrets, before anybody is told of it. */
  readonly redact: (text: string) => string;
  readonly clock: Clock;
  /** Epoch milliseconds that never jump. */
  readonly now: () => number;
  readonly random: () => number;
  readonly emit: (event: Omit<NewAgentEvent, 'at'>) => void;
  readonly report: (conditions: readonly ReportedCondition[]) => void;
  /** Open or not, or another reason. */
  readonly onGate: (open: boolean, reason: string) => void;
  readonly onHandsOff: (handsOff: HandsOff | null) => void;
  /** What people see of it has changed. */
  readonly onChange: () => void;
  readonly root?: string;
  readonly procRoot?: string;
}

export class HostGate {
  readonly #options: HostGateOptions;
  readonly #tcp: TcpTargets;
  readonly #settled: boolean;
  #state: GateState;
  #bootId: string;
  #engine: { readonly up: boolean; readonly reason: string } = { up: false, reason: 'not asked yet' };
  #packageManager = packageManagerUnknown;
  #packageManagerAt = -Infinity;
  #askingPackageManager: Promise<void> | null = null;
  #timer: Timer | null = null;
  #lookedAt = -Infinity;
  #looking = false;
  #stopped = false;
  #started = false;

  constructor(options: HostGateOptions) {
    const { spec, clock, random, rebooted, procRoot } = options;
    this.#options = options;
    this.#bootId = options.bootId;
    this.#settled = !rebooted && readUptimeMs(procRoot) >= youngMs;
    this.#state = initialGate(options.now());
    this.#tcp = new TcpTargets({ addresses: spec.tcp, clock, random, onChange: () => this.look() });
  }

  get open(): boolean {
    return this.#state.open;
  }

  /** The host command under way, which an end of the agent would kill; null: none is. */
  get busy(): string | null {
    return this.#options.setup.busy;
  }

  /** Resolves when the first look has been taken; its outcome has been told by then. */
  async start(): Promise<void> {
    this.#options.setup.start();
    const answers = Promise.all([this.#tcp.ask(0), this.#askPackageManager(0)]);
    await Promise.race([answers, new Promise<void>((resolve) => void this.#options.clock.after(firstAnswersMs, resolve))]);
    if (this.#stopped) return;
    this.#started = true;
    this.look();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#tcp.stop();
    this.#options.setup.stop();
  }

  /** Host commands that wait for their next try are tried at once. */
  retrySetup(): void {
    this.#options.setup.retryNow();
  }

  engineIs(up: boolean, reason: string): void {
    if (this.#engine.up === up && this.#engine.reason === reason) return;
    this.#engine = { up, reason };
    this.look();
  }

  /**
   * Something may begin an attempt: what can be read at once is read again, unless that was just done; what takes longer is
   * asked for, so that it is known when the attempt begins. Takes a tenth of a millisecond.
   */
  glance(): void {
    if (!this.#started || this.#options.now() - this.#lookedAt < glanceMsMin) return;
    void this.#askPackageManager(locksMsMin);
    this.look();
  }

  /** An attempt begins: everything that was not just asked is asked now. Fails with gate-closed. */
  async confirm(): Promise<void> {
    if (!this.#started) return;
    await Promise.all([this.#tcp.ask(freshAnswerMs), this.#askPackageManager(locksMsMin)]);
    this.look();
    if (!this.open) throw new RelightError('gate-closed', this.#state.reason);
  }

  /** Resolves when the answer is at most `ageMsMax` old. */
  #askPackageManager(ageMsMax: number): Promise<void> {
    const { spec, clock } = this.#options;
    if (!asksPackageManager(spec) || clock.monotonic() - this.#packageManagerAt <= ageMsMax) return Promise.resolve();
    this.#askingPackageManager ??= seePackageManager(this.#options).then((seen) => {
      this.#askingPackageManager = null;
      this.#packageManagerAt = clock.monotonic();
      const changed = seen.reading.message !== this.#packageManager.reading.message;
      this.#packageManager = seen;
      if (changed) this.look();
    });
    return this.#askingPackageManager;
  }

  /** Somebody who obeys has come: everybody is told once more what holds. */
  tellAgain(): void {
    this.#options.onGate(this.#state.open, this.#state.reason);
    this.look();
  }

  look(): void {
    // A workload that hears of the gate may ask for a glance.
    if (this.#stopped || !this.#started || this.#looking) return;
    this.#looking = true;
    try {
      this.#look();
    } finally {
      this.#looking = false;
    }
  }

  status(): HostGateStatus {
    const { open, since, reason, deadlineAt, conditions } = this.#state;
    return {
      state: open ? 'open' : 'waiting',
      since,
      reason,
      deadlineAt,
      conditions: conditions.map(({ name, ok, message, waived }) => ({ name, ok, message, ...(waived ? { waived } : {}) })),
    };
  }

  #look(): void {
    const { spec, clock, now: steadyNow, setup, redact, report, onGate, onHandsOff, onChange } = this.#options;
    const wallNow = clock.now();
    const now = steadyNow();
    this.#lookedAt = now;
    const guard = seeHandsOff(this.#options, wallNow);
    const handsOff = guard.handsOff?.active === true ? guard.handsOff : null;
    const boot = seeBoot(this.#options, this.#bootId);
    this.#bootId = boot.bootId;
    const seen: readonly Seen[] = [
      guard,
      boot,
      ...(asksPackageManager(spec) ? [this.#packageManager] : []),
      seePendingReboot(this.#options, wallNow),
      seeScheduledShutdown(this.#options, wallNow),
    ];
    const before = this.#state;
    const readings = [...seen.map(({ reading }) => reading), ...this.#otherReadings()].map((reading) => freed(reading, redact));
    const { state, news } = look(before, readings, spec, now, this.#settled);
    this.#state = state;
    for (const item of news) this.#tell(item);
    report(this.#reported(seen));
    onHandsOff(handsOff === null ? null : { ...handsOff, reason: redact(handsOff.reason) });
    if (state.open !== before.open || state.reason !== before.reason || before.conditions.length === 0) onGate(state.open, state.reason);
    if (shown(state) !== shown(before)) onChange();
    this.#timer?.cancel();
    const dueAt = gateDueAt(state, spec, now);
    const waitMs = Math.max(1, Math.min(state.open ? restMs : waitingMs, (dueAt ?? Infinity) - now));
    const again = (): void => this.#onTimer();
    this.#timer = waitMs === restMs ? onBeat(clock, restMs, again) : clock.after(waitMs, again);
    if (clearOf(state, (name) => beforeSetup.has(name), spec, now)) queueMicrotask(() => setup.nudge());
  }

  #onTimer(): void {
    void this.#askPackageManager(0);
    this.look();
  }

  #otherReadings(): readonly Reading[] {
    const setup = this.#options.setup.reading();
    const tcp = this.#tcp.answers().map(({ address, outcome }): Reading => {
      const base = { name: `tcp ${address}`, hold: 'settles' } as const;
      if (outcome === null) return { ...base, ok: false, message: `tcp ${address}: not answered yet`, toldElsewhere: true };
      return { ...base, ok: outcome.ok, message: `tcp ${address}: ${outcome.message}` };
    });
    const { up, reason } = this.#engine;
    const engine: Reading = {
      name: 'engine',
      hold: 'firm',
      ok: up,
      message: up ? 'answers' : `the engine does not answer: ${reason}`,
      toldElsewhere: true,
    };
    return [...tcp, ...(setup === null ? [] : [setup]), engine];
  }

  #reported(seen: readonly Seen[]): readonly ReportedCondition[] {
    const { open, since, reason, conditions, deadlineAt } = this.#state;
    const waived = new Set(conditions.filter((condition) => condition.waived).map(({ name }) => name));
    const own = seen.flatMap(({ reading, condition }): ReportedCondition[] =>
      condition === undefined
        ? []
        : [waived.has(reading.name) && condition.severity === 'info' ? { ...condition, severity: 'warning' } : condition],
    );
    const setup = this.#options.setup.condition();
    const onlyEngine = conditions.every(({ name, ok, waived: without }) => ok || without || name === 'engine') && deadlineAt === null;
    const gate: ReportedCondition[] =
      open || onlyEngine || this.#lookedAt - since < toldAfterMs
        ? []
        : [{ name: 'gate', subject: '', severity: 'info', reason, advice: 'Nothing: it opens by itself, at its deadline at the latest.' }];
    return [...own, ...(setup === null ? [] : [setup]), ...gate];
  }

  #tell(news: GateNews): void {
    const { emit } = this.#options;
    const { reason, deadlineAt, conditions } = this.#state;
    const data = {
      gate: this.#state.open ? 'open' : 'waiting',
      conditions: conditions.map(({ name, ok, message }) => ({ name, ok, message })),
      deadlineAt: deadlineAt === null ? null : isoTime(deadlineAt),
    };
    switch (news.kind) {
      case 'waiting':
        emit({ kind: 'host.gate-waiting', severity: 'info', message: `recovery waits for ${reason}`, data });
        return;
      case 'opened':
        emit({ kind: 'host.notice', severity: 'info', message: `the host's gate is open after ${formatDurationMs(news.waitedMs)}`, data });
        return;
      case 'waived': {
        const { timeoutMs } = this.#options.spec;
        const what = news.conditions.map(({ message }) => message).join('; ');
        const message = `the host's gate has waited for ${formatDurationMs(timeoutMs)} and goes on without: ${what}`;
        emit({ kind: 'host.notice', severity: 'warning', message, data: { ...data, waived: news.conditions.map(({ name }) => name) } });
      }
    }
  }
}

const freed = (reading: Reading, redact: (text: string) => string): Reading => ({
  ...reading,
  message: redact(reading.message),
  ...(reading.cause === undefined ? {} : { cause: redact(reading.cause) }),
});

/** Messages with a running time in them are no change. */
const shown = ({ open, reason, conditions }: GateState): string =>
  JSON.stringify([open, reason, conditions.map(({ name, ok, waived }) => [name, ok, waived])]);
