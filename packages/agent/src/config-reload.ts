/**
 * The configuration of an agent that runs: read again when its file has changed, at SIGHUP, and when somebody asks. Validated as a
 * whole before anything is touched; a file that cannot be used changes nothing, and is said for as long as it is so.
 */
import { onBeat } from '@relight/shared/beat';
import type { Clock, Timer } from '@relight/shared/clock';
import { toRelightError } from '@relight/shared/errors';
import * as z from 'zod';
import type { Emit } from './agent-context.ts';
import { agentChangeLines, compareAgents, isNoChange, takenUp, workloadChangeText, type AgentChange } from './config/agent-change.ts';
import { heldBackText } from './config/image-wait.ts';
import type { AgentSpec, WorkloadSpec } from './config/spec.ts';
import type { ReloadOutcome } from './control/reload.ts';
import type { ConfigStatus } from './control/status.ts';
import type { ReportedCondition } from './host/conditions.ts';

/** Between two looks at the file; it must look the same at two of them, so that one half written is not read. */
const lookMs = 1_000;
const conditionMessageMax = 1_500;
const placesSchema = z.array(z.string()).catch([]);

export type ReloadCause = 'file' | 'signal' | 'command';

export interface ConfigReloadOptions {
  readonly clock: Clock;
  readonly current: () => AgentSpec;
  /** Workloads whose present configuration waits for its image, and the one that they go on with meanwhile. */
  readonly inForce: () => ReadonlyMap<string, WorkloadSpec>;
  /** --state-dir was given. */
  readonly stateDirGiven: boolean;
  /** Fails with config-invalid or config-unreadable. */
  readonly load: (file: string) => Promise<AgentSpec>;
  /** Tells one content of the file from another without reading it; null: there is none. Never fails. */
  readonly identity: (file: string) => Promise<string | null>;
  /** Which of these images are certainly not on this host. Never fails. */
  readonly absentImages: (images: readonly string[]) => Promise<ReadonlySet<string>>;
  /** Makes it the present one and lets every workload take up what changed of it. */
  readonly apply: (spec: AgentSpec) => Promise<void>;
  /** Starts over, unless something is under way that would have to begin anew: then that, for a person. */
  readonly startOver: (fields: readonly string[]) => string | null;
  readonly emit: Emit;
  readonly report: (conditions: readonly ReportedCondition[]) => void;
  readonly log: (message: string) => void;
}

export class ConfigReload {
  readonly #options: ConfigReloadOptions;
  readonly #file: string;
  /** Of what was read last, whether it could be used or not. Null at first: it may have changed since the agent began to start. */
  #seen: string | null = null;
  #candidate: string | null = null;
  #timer: Timer | null = null;
  #stopped = false;
  #isUp: () => void = () => {};
  /** The first is behind the start of the agent: half of it cannot take up anything. */
  #turn: Promise<unknown> = new Promise<void>((resolve) => {
    this.#isUp = resolve;
  });
  #loadedAt: number;
  #refused: ConfigStatus['refused'] = null;
  #startOver: readonly string[] = [];
  #waitsFor: string | null = null;

  constructor(options: ConfigReloadOptions) {
    this.#options = options;
    this.#file = options.current().file;
    this.#loadedAt = options.clock.now();
  }

  status(): ConfigStatus {
    const pending =
      this.#startOver.length === 0
        ? null
        : `${this.#startOver.join(', ')}: the agent starts over${this.#waitsFor === null ? '' : ` when ${this.#waitsFor} is done`}`;
    return { file: this.#file, loadedAt: this.#loadedAt, refused: this.#refused, pending };
  }

  /** The agent is up. */
  start(): void {
    this.#isUp();
    // Of an earlier life: this one could read it.
    this.#options.report([]);
    this.#schedule();
  }

  stop(): void {
    this.#stopped = true;
    this.#isUp();
    this.#timer?.cancel();
  }

  /** One after the other, and none before `start`. Never rejects. `dryRun`: only says what it would do. */
  reload(cause: ReloadCause, dryRun = false): Promise<ReloadOutcome> {
    const turn = this.#turn.then(() => this.#reload(cause, dryRun));
    this.#turn = turn;
    return turn;
  }

  #schedule(): void {
    if (!this.#stopped) this.#timer = onBeat(this.#options.clock, lookMs, () => void this.#look());
  }

  async #look(): Promise<void> {
    const now = await this.#options.identity(this.#file);
    const settled = now === this.#candidate;
    this.#candidate = now;
    if (settled && now !== this.#seen) await this.reload('file');
    // The next life reads the file before anything else: only one that was read and taken is let near it.
    else if (now === this.#seen && this.#startOver.length > 0) this.#waitsFor = this.#options.startOver(this.#startOver);
    this.#schedule();
  }

  async #reload(cause: ReloadCause, dryRun: boolean): Promise<ReloadOutcome> {
    if (this.#stopped) return stops;
    const { load, identity, current, inForce, stateDirGiven } = this.#options;
    // Before it is read: what is written meanwhile is read again.
    const seen = await identity(this.#file);
    try {
      const spec = await load(this.#file);
      // It may have asked a slow directory service meanwhile: nothing is begun that nobody would stop.
      if (this.#stopped) return stops;
      const change = compareAgents(current(), spec, stateDirGiven, inForce());
      if (change.refusal !== null)
        return this.#refuse(change.refusal, 'Put it back; or stop the agent, move its state and start it.', dryRun, [
          `${this.#file}: state_dir`,
        ]);
      if (dryRun && isNoChange(change)) return await this.#unchanged();
      if (dryRun) return { result: 'would-apply', lines: [...agentChangeLines(change), ...(await this.#wouldWait(spec, change))] };
      return await this.#take(spec, change, cause);
    } catch (thrown) {
      const { message, advice, data } = toRelightError(thrown);
      return this.#refuse(message, advice, dryRun, placesSchema.parse(data['places']));
    } finally {
      if (!dryRun) this.#seen = seen;
    }
  }

  /** What is not taken up at once, and until when: whoever asks first can still bring it. */
  async #wouldWait({ workloads }: AgentSpec, change: AgentChange): Promise<readonly string[]> {
    const anew = new Set(change.workloads.filter(({ restarts }) => restarts === 'container').map(({ name }) => name));
    const replaced = workloads.filter(({ name }) => anew.has(name));
    const absent = await this.#options.absentImages(replaced.map(({ container }) => container.image));
    return replaced.filter(({ container }) => absent.has(container.image)).map(heldBackLine);
  }

  /** Those that wait now. */
  async #waiting(): Promise<readonly string[]> {
    const inForce = this.#options.inForce();
    const waiting = this.#options.current().workloads.filter(({ name }) => inForce.has(name));
    if (waiting.length === 0) return [];
    const absent = await this.#options.absentImages(waiting.map(({ container }) => container.image));
    return waiting.map((workload) => (absent.has(workload.container.image) ? heldBackLine(workload) : postponedLine(workload)));
  }

  async #unchanged(): Promise<ReloadOutcome> {
    return { result: 'unchanged', lines: [nothing, ...(await this.#waiting())] };
  }

  async #take(spec: AgentSpec, change: AgentChange, cause: ReloadCause): Promise<ReloadOutcome> {
    const { clock, current, report, apply, log } = this.#options;
    this.#loadedAt = clock.now();
    this.#refused = null;
    report([]);
    // Back to what the agent started with: there is nothing to start over for.
    this.#startsOverFor([]);
    if (isNoChange(change)) {
      if (cause !== 'file') log(`the configuration was read again (${causes[cause]}): ${nothing}`);
      return await this.#unchanged();
    }
    const lines = [...agentChangeLines(change)];
    const fields = [...change.fields, ...change.startOver];
    if (fields.length > 0) this.#tell(cause, lines.slice(change.workloads.length).join('; '), { fields });
    for (const workload of change.workloads) {
      const { name, kind, restarts, changes } = workload;
      this.#tell(cause, workloadChangeText(workload), { change: kind, restarts, fields: changes.map(({ field }) => field) }, name);
    }
    await apply(takenUp(current(), spec));
    // At the next look: whoever asked for this has the answer by then.
    this.#startsOverFor(change.startOver);
    return { result: 'applied', lines: [...lines, ...(await this.#waiting())] };
  }

  #startsOverFor(fields: readonly string[]): void {
    this.#startOver = fields;
    this.#waitsFor = null;
  }

  #tell(cause: ReloadCause, what: string, data: Readonly<Record<string, unknown>>, workload?: string): void {
    this.#options.emit({
      kind: 'host.notice',
      severity: 'info',
      message: `the configuration was read again (${causes[cause]}): ${what}`,
      data: { configuration: 'applied', ...data },
      ...(workload === undefined ? {} : { workload }),
    });
  }

  #refuse(reason: string, advice: string, dryRun: boolean, places: readonly string[] = []): ReloadOutcome {
    const outcome: ReloadOutcome = { result: 'refused', lines: [...reason.split('\n'), advice], places };
    if (dryRun) return outcome;
    const { clock, report } = this.#options;
    this.#refused = { at: clock.now(), reason, places };
    // A new life would end with this file, and nobody would supervise the host.
    this.#startsOverFor([]);
    // The collector has it as an event and an alert, for readers of every role: where, for what stands there is root's of this host alone.
    const said = places.length === 0 ? reason : places.map((place) => `${place}: is not valid`).join('\n');
    const short = said.length <= conditionMessageMax ? said : `${said.slice(0, conditionMessageMax)}…`;
    report([
      {
        name: 'configuration-refused',
        subject: this.#file,
        severity: 'warning',
        reason: `the file cannot be used, the configuration before it goes on: ${short.replaceAll('\n', '; ')}`,
        advice: `${advice} Then it is taken up by itself; relight-agent reload --dry-run tells root of the host why, and what it would do.`,
      },
    ]);
    return outcome;
  }
}

const nothing = 'nothing is different';
const stops: ReloadOutcome = { result: 'refused', lines: ['the agent stops'] };
const heldBackLine = ({ name, container }: WorkloadSpec): string => `workload ${name}: ${heldBackText(container)}`;
/** Its image is here, or the engine does not say. */
const postponedLine = ({ name }: WorkloadSpec): string =>
  `workload ${name}: a container that runs goes on under the configuration before; relight-agent status says until when`;
const causes: Readonly<Record<ReloadCause, string>> = { file: 'its file changed', signal: 'SIGHUP', command: 'by hand' };
