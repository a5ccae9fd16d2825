/**
 * Host commands (`host.setup`): before any workload, once per boot, in order. A required one that fails holds every workload
 * back and is tried again; an optional one only warns. What each step printed is a log stream
 * of the host (setup-logs.ts).
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isoTime } from '@relight/shared/api';
import { delay, type Clock, type Timer } from '@relight/shared/clock';
import { errorMessage, type ErrorCode } from '@relight/shared/errors';
import type { NewAgentEvent } from '@relight/shared/event';
import { formatDurationMs } from '@relight/shared/units';
import type { Logger } from 'pino';
import * as z from 'zod';
import type { SecretValues } from '../../config/secret-values.ts';
import type { Command, SetupStep } from '../../config/spec.ts';
import { isAlive, readStat } from '../../stages/proc.ts';
import { replaceFile } from '../atomic-file.ts';
import type { ReportedCondition } from '../conditions.ts';
import type { Reading } from './gate.ts';
import type { LogShipper } from '../../logs/log-shipper.ts';
import { runHostCommand, type HostCommandResult } from './host-command.ts';
import { SetupLogs } from './setup-logs.ts';
import { dueSteps, retryDelayMs, withDone, type SetupRecord } from './setup-plan.ts';

export const setupConditionName = 'host setup';

export interface HostSetupOptions {
  readonly steps: readonly SetupStep[];
  readonly stateDir: string;
  readonly bootId: string;
  readonly clock: Clock;
  readonly random: () => number;
  readonly logger: Logger;
  /** Added to the agent's own environment. */
  readonly vars: Readonly<Record<string, string>>;
  readonly logs: LogShipper;
  /** What its commands may print, and nobody may be told. */
  readonly secrets: Pick<SecretValues, 'text' | 'tail'>;
  readonly emit: (event: Omit<NewAgentEvent, 'at'>) => void;
  /** Its reading has changed, or a round is due: look again. */
  readonly onChange: () => void;
}

type Stage =
  | { readonly kind: 'done' }
  /** A round is due as soon as the rest of the gate allows it. */
  | { readonly kind: 'due'; readonly failure: StepFailure | null }
  | { readonly kind: 'running'; readonly what: string; readonly failure: StepFailure | null }
  | { readonly kind: 'failed'; readonly failure: StepFailure; readonly retryAt: number };

interface StepFailure {
  readonly step: string;
  readonly code: ErrorCode;
  readonly message: string;
  readonly data: Readonly<Record<string, unknown>>;
}

const recordSchema = z.object({
  bootId: z.string(),
  done: z.record(z.string(), z.string()),
  running: z.object({ pid: z.number(), startTicks: z.number() }).nullable(),
});

export class HostSetup {
  readonly #options: HostSetupOptions;
  readonly #stop = new AbortController();
  readonly #logs: SetupLogs;
  /** Optional steps that failed in this life of the agent: they have had their attempts. */
  readonly #givenUp = new Set<string>();
  #record: SetupRecord;
  #stage: Stage;
  #failures = 0;
  #timer: Timer | null = null;

  constructor(options: HostSetupOptions) {
    this.#options = options;
    this.#logs = new SetupLogs(join(options.stateDir, 'host-setup'), options.logs);
    const saved = load(options.stateDir);
    this.#stage = dueSteps(options.steps, saved, options.bootId).length === 0 ? { kind: 'done' } : { kind: 'due', failure: null };
    this.#record = saved?.bootId === options.bootId ? saved : { bootId: options.bootId, done: {}, running: null };
  }

  /** Null: no host commands are configured. */
  reading(): Reading | null {
    const { steps } = this.#options;
    if (steps.length === 0) return null;
    const stage = this.#stage;
    const base = { name: setupConditionName, hold: 'firm', ok: false } as const;
    switch (stage.kind) {
      case 'done':
        return { ...base, ok: true, message: `${steps.length} host command${steps.length === 1 ? '' : 's'} done in this boot` };
      case 'due':
        return {
          ...base,
          message: stage.failure?.message ?? 'host commands are due',
          ...(stage.failure === null ? { toldElsewhere: true } : {}),
        };
      case 'running':
        return { ...base, message: stage.what, toldElsewhere: true };
      case 'failed':
        return { ...base, message: `${stage.failure.message}; next try at ${isoTime(stage.retryAt)}`, cause: stage.failure.message };
    }
  }

  /** The step under way, which an end of the agent would kill; null: none is. */
  get busy(): string | null {
    return this.#stage.kind === 'running' ? this.#stage.what : null;
  }

  condition(): ReportedCondition | null {
    const failure = 'failure' in this.#stage ? this.#stage.failure : null;
    if (failure === null) return null;
    // A step without a name has its command for one.
    const subject = this.#options.secrets.text(failure.step);
    const advice = `Run the command by hand on this host; its output is in ${this.#logs.directory}. No workload begins before it succeeds; mark it optional if it may fail.`;
    return { name: 'host-setup-failed', subject, severity: 'error', reason: failure.message, advice };
  }

  /** What an earlier life of the agent has not delivered goes on its way. Before the first round. */
  start(): void {
    this.#logs.recover();
  }

  /** Begins a round if one is due. */
  nudge(): void {
    if (this.#stage.kind !== 'due' || this.#stop.signal.aborted) return;
    void this.#round(this.#stage.failure);
  }

  /** What was waited for is tried at once. */
  retryNow(): void {
    if (this.#stage.kind !== 'failed') return;
    this.#timer?.cancel();
    this.#set({ kind: 'due', failure: this.#stage.failure });
  }

  /** Kills the step under way. */
  stop(): void {
    this.#stop.abort();
    this.#timer?.cancel();
  }

  #set(stage: Stage): void {
    this.#stage = stage;
    this.#options.onChange();
  }

  async #round(before: StepFailure | null): Promise<void> {
    const { steps, bootId, clock, random } = this.#options;
    const running = (what: string): void => this.#set({ kind: 'running', what, failure: before });
    running('host commands begin');
    await this.#endEarlier();
    for (const step of dueSteps(steps, this.#record, bootId)) {
      if (this.#givenUp.has(step.name)) continue;
      const failure = await this.#attempts(step, (attempt) =>
        running(`host setup ${steps.indexOf(step) + 1}/${steps.length}: ${step.name}${attempt}`),
      );
      if (this.#stop.signal.aborted) return;
      if (failure === null) this.#save(withDone(this.#record, step));
      else if (step.optional) this.#givenUp.add(step.name);
      else {
        this.#failures += 1;
        const delayMs = retryDelayMs(this.#failures, random());
        this.#timer = clock.after(delayMs, () => this.#set({ kind: 'due', failure }));
        this.#set({ kind: 'failed', failure, retryAt: clock.now() + delayMs });
        return;
      }
    }
    this.#failures = 0;
    this.#set({ kind: 'done' });
  }

  /** One that an earlier life of the agent has left behind, which was killed in the middle of it. */
  async #endEarlier(): Promise<void> {
    const { running } = this.#record;
    if (running === null) return;
    if (isAlive('/proc', running.pid, running.startTicks)) {
      try {
        process.kill(-running.pid, 'SIGKILL');
      } catch {
        // It ended at this moment.
      }
      await delay(this.#options.clock, 50, this.#stop.signal).catch(() => {});
    }
    this.#save({ ...this.#record, running: null });
  }

  async #attempts(step: SetupStep, progress: (attempt: string) => void): Promise<StepFailure | null> {
    const { clock, emit } = this.#options;
    const total = Math.max(1, step.retry.attempts);
    for (let attempt = 1; ; attempt += 1) {
      progress(total === 1 ? '' : `, attempt ${attempt}/${total}`);
      const facts = { step: step.name, attempt, attempts: total, level: 'host' };
      emit({
        kind: 'setup.step-started',
        severity: 'info',
        message: `host setup "${step.name}": attempt ${attempt} of ${total}`,
        data: facts,
      });
      const began = clock.monotonic();
      const failure = await this.#attempt(step);
      if (this.#stop.signal.aborted) return null;
      const durationMs = Math.round(clock.monotonic() - began);
      if (failure === null) {
        const message = `host setup "${step.name}" done in ${formatDurationMs(durationMs)}`;
        emit({ kind: 'setup.step-done', severity: 'info', message, data: { ...facts, durationMs } });
        return null;
      }
      const last = attempt >= total;
      emit({
        kind: 'setup.step-failed',
        severity: last && !step.optional ? 'error' : 'warning',
        message: `${failure.message} (attempt ${attempt} of ${total}${step.optional ? ', optional' : ''})`,
        data: { ...facts, ...failure.data, code: failure.code, optional: step.optional, durationMs },
      });
      if (last) return failure;
      await delay(clock, step.retry.delayMs, this.#stop.signal).catch(() => {});
    }
  }

  async #attempt(step: SetupStep): Promise<StepFailure | null> {
    const fault = (code: ErrorCode, message: string, { exitCode, lastLines, outputFile }: HostCommandResult): StepFailure => ({
      step: step.name,
      code,
      message: lastLines.length === 0 ? message : `${message}: ${lastLines.slice(-3).join(' | ').slice(-600)}`,
      data: { exitCode, lastLines, outputFile },
    });
    const ran = await this.#execute(step, step.run, step.name);
    if (ran.fault !== null) return fault('setup-failed', `host setup "${step.name}": ${ran.fault}`, ran);
    if (step.verify === null) return null;
    const verified = await this.#execute(step, step.verify, `${step.name} verify`);
    if (verified.fault === null) return null;
    return fault('setup-unverified', `host setup "${step.name}" ran, but verify says ${verified.fault}`, verified);
  }

  async #execute(step: SetupStep, command: Command, title: string): Promise<HostCommandResult> {
    const { clock, vars, steps, secrets } = this.#options;
    const log = this.#logs.begin(clock.now(), steps.indexOf(step) + 1, title);
    const result = await runHostCommand({
      command,
      clock,
      timeoutMs: step.timeoutMs,
      signal: this.#stop.signal,
      env: { ...process.env, ...vars },
      directory: this.#logs.directory,
      fileName: log.fileName,
      onStart: (pid) => this.#save({ ...this.#record, running: { pid, startTicks: readStat('/proc', pid)?.startTicks ?? 0 } }),
      redact: (bytes, continued) => secrets.tail(bytes, continued),
    });
    log.end();
    this.#save({ ...this.#record, running: null });
    return result;
  }

  /** Without it a restart of the agent runs the steps again, which they must bear. */
  #save(record: SetupRecord): void {
    this.#record = record;
    const { stateDir, logger } = this.#options;
    try {
      mkdirSync(stateDir, { recursive: true, mode: 0o700 });
      replaceFile(fileIn(stateDir), JSON.stringify(record));
    } catch (error) {
      logger.warn({ reason: errorMessage(error) }, 'what host setup has done cannot be written down');
    }
  }
}

const fileIn = (stateDir: string): string => join(stateDir, 'host-setup.json');

/** A file that cannot be read is as good as none: the steps run once more. */
function load(stateDir: string): SetupRecord | null {
  try {
    return recordSchema.parse(JSON.parse(readFileSync(fileIn(stateDir), 'utf8')));
  } catch {
    return null;
  }
}
