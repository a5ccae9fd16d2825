/**
 * What is wrong with this host at the moment, one list a source (gate, disks, kernel log, cloud …). Each source reports its
 * whole list whenever it has looked; what was raised or cleared by that becomes an event. The list outlives the agent, so that
 * a restart of the agent neither raises everything again nor resolves the alerts in between.
 */
import type { Clock, Timer } from '@relight/shared/clock';
import type { NewAgentEvent } from '@relight/shared/event';
import { hostConditionSchema, type HostCondition } from '@relight/shared/status';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { untold, type OutboxHistory, type Telling } from '../outbox/telling.ts';
import { replaceFile } from './atomic-file.ts';
import { diffConditions, inOrder, type ConditionChange, type ReportedCondition } from './condition-diff.ts';

export type { ReportedCondition } from './condition-diff.ts';

/** A source of the last life of the agent that says nothing for so long does not exist any more. */
const rememberedMs = 120_000;

const fileSchema = z.object({
  bootId: z.string(),
  sources: z.record(z.string(), z.array(hostConditionSchema)),
  /** Absent in files of earlier versions. */
  telling: z.custom<Telling>((value) => typeof value === 'object').optional(),
});

export interface HostConditionsOptions {
  readonly clock: Clock;
  readonly stateDir: string;
  /** What was known in another boot is cleared by the reboot. */
  readonly bootId: string;
  /** Frees what programs and the kernel wrote of secrets. Names and subjects stay: they must be found again. */
  readonly redact: (text: string) => string;
  readonly emit: (event: NewAgentEvent) => void;
  /** Of the outbox that `emit` appends to. */
  readonly history: OutboxHistory;
  /** The list has changed in more than words. */
  readonly onChange: () => void;
}

export class HostConditions {
  readonly #options: HostConditionsOptions;
  readonly #sources: Map<string, readonly HostCondition[]>;
  /** Of the last life, not confirmed yet. */
  readonly #remembered: Set<string>;
  readonly #timer: Timer;

  constructor(options: HostConditionsOptions) {
    this.#options = options;
    const { bootId, sources, telling } = load(options.stateDir);
    this.#sources = new Map(Object.entries(sources));
    this.#remembered = new Set(this.#sources.keys());
    if (telling !== undefined) this.#tell(untold(telling, options.history), bootId);
    if (bootId !== options.bootId) this.#forgetRemembered();
    this.#timer = options.clock.after(rememberedMs, () => this.#forgetRemembered());
  }

  /** Replaces what `source` has reported before. An empty list: nothing is wrong as far as it can see. */
  set(source: string, reported: readonly ReportedCondition[]): void {
    this.#remembered.delete(source);
    this.#replace(source, reported);
  }

  /** The worst first. */
  list(): HostCondition[] {
    return inOrder([...this.#sources.values()].flat());
  }

  /** What a source has reported, in this life or in the last one of the same boot. */
  of(source: string): readonly HostCondition[] {
    return this.#sources.get(source) ?? [];
  }

  dispose(): void {
    this.#timer.cancel();
  }

  #replace(source: string, reported: readonly ReportedCondition[]): void {
    const { clock, redact } = this.#options;
    // Before they are cut to size: half of a secret is none that anybody would find.
    const free = reported.map((each) => ({ ...each, reason: redact(each.reason), advice: redact(each.advice) }));
    const { after, changes } = diffConditions(this.of(source), free, clock.now());
    if (after.length === 0) this.#sources.delete(source);
    else this.#sources.set(source, after);
    if (changes.length === 0) return;
    this.#tell(
      changes.map((change) => this.#eventOf(change)),
      this.#options.bootId,
    );
    this.#options.onChange();
  }

  #forgetRemembered(): void {
    for (const source of this.#remembered) this.#replace(source, []);
    this.#remembered.clear();
  }

  /** Written down first, with what it has to tell. */
  #tell(events: readonly NewAgentEvent[], bootId: string): void {
    if (events.length === 0) return;
    const { history, emit } = this.#options;
    this.#save({ after: history.position, events }, bootId);
    for (const event of events) emit(event);
  }

  #eventOf({ state, condition: { name, subject, severity, reason, advice }, data }: ConditionChange): NewAgentEvent {
    const about = subject === '' ? name : `${name} ${subject}`;
    const raised = state === 'raised';
    return {
      at: this.#options.clock.now(),
      kind: 'host.notice',
      severity: raised ? severity : 'info',
      message: raised ? `${about}: ${reason}` : `${about} is over; it was: ${reason}`,
      data: { ...data, condition: name, subject, state, ...(raised ? { advice } : {}) },
    };
  }

  /** Not durable on purpose: after a power loss there is another boot. A disk that takes nothing is said elsewhere. */
  #save(telling: Telling, bootId: string): void {
    const { stateDir } = this.#options;
    try {
      mkdirSync(stateDir, { recursive: true, mode: 0o700 });
      replaceFile(fileIn(stateDir), JSON.stringify({ bootId, sources: Object.fromEntries(this.#sources), telling }));
    } catch {
      // The next change tries again.
    }
  }
}

const fileIn = (stateDir: string): string => join(stateDir, 'conditions.json');

/** A file that cannot be read is as good as none: every source looks for itself soon. */
function load(stateDir: string): z.infer<typeof fileSchema> {
  try {
    return fileSchema.parse(JSON.parse(readFileSync(fileIn(stateDir), 'utf8')));
  } catch {
    return { bootId: '', sources: {} };
  }
}
