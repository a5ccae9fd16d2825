/**
 * Another configuration of a workload, held back until the image that it wants is on this host (config/image-wait.ts): the loop goes on
 * under the one that it has, a lane brings the image, and then the loop takes it up. What each workload waits for lives here alone; it is
 * found anew by an agent that is started meanwhile, from what was saved of the workload and what the file says.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '@relight/shared/clock';
import type { Severity } from '@relight/shared/event';
import type { WaitingConfiguration } from '@relight/shared/status';
import type { Emit } from './agent-context.ts';
import { imageToWaitFor, type Standing } from './config/image-wait.ts';
import { compareWorkload } from './config/impact.ts';
import type { AgentSpec, VarSpec, WorkloadSpec } from './config/spec.ts';
import type { Engine } from './engine/engine.ts';
import type { ReportedCondition } from './host/condition-diff.ts';
import { ImageLane } from './image-lane.ts';
import { haltedBy, standingOf } from './supervisor/image-standing.ts';
import type { WorkloadState } from './supervisor/state.ts';
import type { SavedConfiguration } from './workload-store.ts';

const callMs = 5_000;

/** What of a workload's loop is needed here. */
export interface HoldingLoop {
  readonly spec: WorkloadSpec;
  readonly agent: AgentSpec;
  readonly state: WorkloadState;
  /** What an earlier life of the agent worked with; null: nothing is remembered. */
  readonly saved: SavedConfiguration | null;
  reconfigure(agent: AgentSpec, spec: WorkloadSpec): void;
}

export interface HeldConfigurationsOptions {
  readonly engine: Pick<Engine, 'hasImage' | 'pull'>;
  readonly clock: Clock;
  readonly now: () => number;
  readonly random: () => number;
  /** As the file says it. */
  readonly agent: () => AgentSpec;
  /** For people: without what is secret of this workload. */
  readonly text: (workload: string, text: string) => string;
  /** From now on `has` is in force with `vars`, and `wanted` is to be: their secrets must not be shown. */
  readonly hide: (has: WorkloadSpec, wanted: WorkloadSpec, vars: readonly VarSpec[]) => void;
  readonly emit: Emit;
  readonly report: (conditions: readonly ReportedCondition[]) => void;
  /** What was reported last, also by an earlier life of the agent. */
  readonly reported: () => readonly Pick<ReportedCondition, 'subject'>[];
  readonly observe: () => void;
  readonly onChange: () => void;
}

interface Held {
  readonly loop: HoldingLoop;
  readonly wanted: WorkloadSpec;
  readonly lane: ImageLane;
  /** What of the loop's state was last taken into account. */
  word: string;
}

export class HeldConfigurations {
  readonly #options: HeldConfigurationsOptions;
  readonly #held = new Map<string, Held>();
  #stopped = false;

  constructor(options: HeldConfigurationsOptions) {
    this.#options = options;
  }

  /** What these loops were given may have to wait: then they go on with what was saved. Before they are shown anything. Never rejects. */
  async begin(loops: readonly HoldingLoop[]): Promise<void> {
    const changed = loops.flatMap((loop) =>
      loop.saved === null ? [] : [{ loop, has: loop.saved.spec, vars: loop.saved.vars ?? [], wanted: loop.spec }],
    );
    const here = await this.#imagesHere(changed.map(({ loop, has, wanted }) => imageToWaitFor(has, wanted, standingOf(loop.state))));
    for (const { loop, has, vars, wanted } of changed) {
      const image = imageToWaitFor(has, wanted, standingOf(loop.state));
      if (image === undefined || here.has(image)) continue;
      loop.reconfigure(this.#agentWith(vars), has);
      this.#wait(loop, wanted);
    }
    this.#report();
  }

  /** Each takes up what it is offered, now or as soon as its image is here. Never rejects. */
  async offer(offers: readonly { readonly loop: HoldingLoop; readonly wanted: WorkloadSpec }[]): Promise<void> {
    const here = await this.#imagesHere(offers.map(({ loop, wanted }) => imageToWaitFor(loop.spec, wanted, standingOf(loop.state))));
    for (const { loop, wanted } of offers) {
      const image = imageToWaitFor(loop.spec, wanted, standingOf(loop.state));
      if (image === undefined || here.has(image)) this.#take(loop, wanted);
      else this.#wait(loop, wanted);
    }
    this.#report();
  }

  /** Which of these images are certainly not on this host. Never rejects. */
  async absent(images: readonly string[]): Promise<ReadonlySet<string>> {
    const asked = [...new Set(images)];
    const here = await Promise.all(asked.map((image) => this.#options.engine.hasImage(image, { timeoutMs: callMs }).catch(() => true)));
    return new Set(asked.filter((_, index) => here[index] === false));
  }

  /** Workloads that wait, and what they have meanwhile. */
  inForce(): ReadonlyMap<string, WorkloadSpec> {
    return new Map([...this.#held].map(([name, { loop }]) => [name, loop.spec]));
  }

  /** Which image each waits for. Without a workload: all of them. */
  waiting(workload?: string): readonly { readonly workload: string; readonly image: string }[] {
    return [...this.#held]
      .filter(([name]) => workload === undefined || workload === name)
      .map(([name, { wanted }]) => ({ workload: name, image: wanted.container.image }));
  }

  status(workload: string): WaitingConfiguration | null {
    return this.#held.get(workload)?.lane.status() ?? null;
  }

  /** Something is different about this workload. */
  changed(workload: string): void {
    const held = this.#held.get(workload);
    if (held === undefined) return;
    const word = wordOf(held.loop);
    if (word === held.word) return;
    held.word = word;
    // Not in the middle of a step of its loop.
    void Promise.resolve().then(() => this.#judge(workload, held));
  }

  /** Somebody wants to see it tried now. Without a workload: all of them. */
  tryNow(workload?: string): void {
    for (const [name, { lane }] of this.#held) if (workload === undefined || workload === name) lane.wake();
  }

  /** An image has come. */
  imageChanged(): void {
    for (const { lane } of this.#held.values()) lane.glance();
  }

  /** The workload is no more, or another loop begins with it. */
  drop(workload: string): void {
    this.#held.get(workload)?.lane.stop();
    if (this.#held.delete(workload)) this.#report();
  }

  /** For good: the agent goes. */
  stop(): void {
    this.#stopped = true;
    for (const { lane } of this.#held.values()) lane.stop();
    this.#held.clear();
  }

  #judge(workload: string, held: Held): void {
    if (this.#held.get(workload) !== held) return;
    const { loop, wanted, lane } = held;
    const standing = standingOf(loop.state);
    if (imageToWaitFor(loop.spec, wanted, standing) === undefined) this.#takeNow(loop, wanted, whyNotAwaited(wanted, standing));
    else lane.resume();
  }

  #takeNow(loop: HoldingLoop, wanted: WorkloadSpec, because: string): void {
    const { image } = wanted.container;
    this.#tell(wanted.name, 'info', `the new configuration is taken up: ${because}`, { configuration: 'taken', image });
    this.#take(loop, wanted);
    this.#report();
    this.#options.observe();
    this.#options.onChange();
  }

  #take(loop: HoldingLoop, wanted: WorkloadSpec): void {
    this.#held.get(wanted.name)?.lane.stop();
    this.#held.delete(wanted.name);
    const agent = this.#options.agent();
    this.#options.hide(wanted, wanted, agent.vars);
    loop.reconfigure(agent, wanted);
  }

  #wait(loop: HoldingLoop, wanted: WorkloadSpec): void {
    const { name } = wanted;
    const agent = this.#agentWith(loop.agent.vars);
    this.#options.hide(loop.spec, wanted, agent.vars);
    loop.reconfigure(agent, loop.spec);
    // While the engine was asked: a lane would pull for the rest of the farewell.
    if (this.#stopped) return;
    const known = this.#held.get(name);
    if (known?.loop === loop && isDeepStrictEqual(known.wanted, wanted)) {
      known.lane.wake();
      return;
    }
    known?.lane.stop();
    const lane = this.#lane(loop, wanted);
    this.#held.set(name, { loop, wanted, lane, word: wordOf(loop) });
    const { image } = wanted.container;
    const fields = compareWorkload(loop.spec, wanted).map(({ field }) => field);
    this.#tell(
      name,
      'info',
      `the new configuration (${fields.join(', ')}) waits for the image ${image}; what runs goes on until it is here`,
      {
        configuration: 'waits',
        image,
        fields,
      },
    );
    lane.wake();
  }

  /** What goes on may use variables that the file has no more. */
  #agentWith(former: readonly VarSpec[]): AgentSpec {
    const agent = this.#options.agent();
    const names = new Set(agent.vars.map(({ name }) => name));
    return { ...agent, vars: [...agent.vars, ...former.filter(({ name }) => !names.has(name))] };
  }

  #lane(loop: HoldingLoop, wanted: WorkloadSpec): ImageLane {
    const { engine, clock, now, random, text, onChange } = this.#options;
    return new ImageLane({
      engine,
      clock,
      now,
      random,
      wanted,
      halted: () => haltedBy(loop.state),
      text: (words) => text(wanted.name, words),
      onHere: () => this.#takeNow(loop, wanted, `the image ${wanted.container.image} is here`),
      onChange: () => {
        this.#report();
        onChange();
      },
      tell: (severity, message, data) => this.#tell(wanted.name, severity, message, data),
    });
  }

  /** What the engine does not say for certain is not here: what runs is not given away for it. */
  async #imagesHere(images: readonly (string | undefined)[]): Promise<ReadonlySet<string>> {
    const asked = [...new Set(images.filter((image) => image !== undefined))];
    const here = await Promise.all(asked.map((image) => this.#options.engine.hasImage(image, { timeoutMs: callMs }).catch(() => false)));
    return new Set(asked.filter((_, index) => here[index] === true));
  }

  #report(): void {
    // Nothing is resolved by going.
    if (this.#stopped) return;
    const known = new Set(this.#options.reported().map(({ subject }) => subject));
    // A restart of the agent, or another file, resolves nothing.
    const missing = [...this.#held].filter(([name, { lane }]) => lane.isMissing || (lane.isUndecided && known.has(name)));
    this.#options.report(
      missing.map(([workload, { lane }]) => {
        const { reason, advice } = lane.status();
        return {
          name: 'image-missing',
          subject: workload,
          severity: 'warning',
          reason: `its new configuration waits, and what runs goes on under the one before: ${reason}`,
          advice: `${advice} The file as it was before ends it.`.trim(),
        };
      }),
    );
  }

  #tell(workload: string, severity: Severity, message: string, data: Readonly<Record<string, unknown>>): void {
    this.#options.emit({ kind: 'host.notice', workload, severity, message: this.#options.text(workload, message), data });
  }
}

function whyNotAwaited({ container: { image } }: WorkloadSpec, { given }: Standing): string {
  const without = `without the image ${image}`;
  if (given === 'finished') return `${without}: its time under the configuration before is over (process.max_runtime)`;
  if (given === 'held') return `${without}: what it had cannot go on under the configuration before`;
  return `${without}: nothing that runs would be lost`;
}

const wordOf = ({ state }: HoldingLoop): string => JSON.stringify([standingOf(state), haltedBy(state) === null]);
