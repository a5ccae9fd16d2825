/** What is looked at while a workload runs: its checks and mounts, and whether its runs are alive. Says what it sees, decides nothing. */
import type { Timer } from '@relight/shared/clock';
import { errorMessage, toRelightError } from '@relight/shared/errors';
import { namedSecrets } from './config/secret-names.ts';
import type { MountProbeResult, ProbeResult } from './checks/probe.ts';
import type { DesiredProbe, Prober } from './checks/prober.ts';
import type { LoopOptions } from './loop-options.ts';
import { lastWords } from './stages/last-words.ts';
import { isExecuting } from './stages/proc.ts';
import { RunWatches } from './stages/run-watches.ts';
import type { RunExit } from './stages/runs.ts';
import { namedIn } from './stages/variable-use.ts';
import { wantedProbes } from './supervisor/desired-probes.ts';
import type { SupervisorEvent } from './supervisor/event.ts';
import type { RunHandle } from './supervisor/op.ts';
import type { WorkloadState } from './supervisor/state.ts';

const variableRetryMs = 5_000;

type Vars = Readonly<Record<string, string>>;

export interface WatchOptions {
  /** As they are now: a container may be adopted later. */
  readonly loop: () => LoopOptions;
  readonly state: () => WorkloadState;
  /** Null: nobody has resolved them yet. */
  readonly vars: () => Vars | null;
  readonly learn: (vars: Vars) => void;
  readonly send: (event: SupervisorEvent) => void;
}

export class WorkloadWatch {
  readonly #options: WatchOptions;
  readonly #prober: Prober;
  readonly #runs: RunWatches;
  readonly #stop = new AbortController();
  #resolving = false;
  #retry: Timer | null = null;

  constructor(options: WatchOptions) {
    this.#options = options;
    const { prober, runs, logger } = options.loop();
    this.#prober = prober((key, kind, result) => this.#onProbe(key, kind, result));
    this.#runs = new RunWatches({
      runs,
      logger,
      onExit: (run, exit, containerAlive) => void this.#runExited(run, exit, containerAlive),
    });
  }

  /** What is looked at follows from the state. */
  settle(): void {
    this.#setProbes();
    const { container, process, mounts, adopted } = this.#options.state();
    const placed = [process, ...Object.values(mounts).map((mount) => mount.run)].filter((run) => run !== null);
    this.#runs.set(container?.running === true && adopted ? placed : [], container ?? { id: '', pid: 0 });
  }

  probeNow(mount: string): void {
    this.#prober.now(`mount/${mount}`);
  }

  dispose(): void {
    this.#stop.abort();
    this.#retry?.cancel();
    this.#prober.dispose();
    this.#runs.dispose();
  }

  #setProbes(): void {
    const state = this.#options.state();
    const { container } = state;
    const wanted = wantedProbes(state, this.#options.loop().spec);
    if (wanted.length === 0 || container === null) {
      this.#prober.set([]);
      return;
    }
    const vars = this.#options.vars();
    const missing = this.#unresolved(vars ?? {});
    // After an adoption nobody has resolved the variables yet, or one was added since; a check without them would only fail.
    const usable = wanted.filter(
      ({ kind, spec }) => kind === 'mount' || (vars !== null && !missing.some((variable) => namedIn(variable, spec))),
    );
    if (vars === null || usable.length < wanted.length) void this.#resolve();
    this.#prober.set(
      usable.map((probe): DesiredProbe => ({ ...probe, containerId: container.id, containerPid: container.pid, vars: vars ?? {} })),
    );
  }

  #unresolved(vars: Vars): readonly string[] {
    return this.#options
      .loop()
      .agent.vars.map(({ name }) => name)
      .filter((name) => !Object.hasOwn(vars, name));
  }

  async #resolve(): Promise<void> {
    if (this.#resolving || this.#retry !== null) return;
    this.#resolving = true;
    const { resolveVars, logger, secrets, spec, clock } = this.#options.loop();
    try {
      const vars = await resolveVars(this.#stop.signal);
      secrets.learn(namedSecrets(vars));
      this.#options.learn(vars);
      this.#options.send({ type: 'tick' });
    } catch (thrown) {
      if (this.#stop.signal.aborted) return;
      logger.warn({ workload: spec.name, reason: toRelightError(thrown).message }, 'checks wait for the variables');
      this.#retry = clock.after(variableRetryMs, () => {
        this.#retry = null;
        this.#options.send({ type: 'tick' });
      });
    } finally {
      this.#resolving = false;
    }
  }

  /** What it said last goes with it: that is where the cause stands. */
  async #runExited(run: RunHandle, { exitCode, signal }: RunExit, containerAlive: boolean): Promise<void> {
    const { runs, engine, secrets, logger } = this.#options.loop();
    const words = await lastWords(run, exitCode, {
      runs,
      engine,
      redact: (text) => secrets.text(text),
      container: containerAlive ? this.#options.state().container : null,
      onFault: (thrown) => logger.warn({ run: run.runId, reason: errorMessage(thrown) }, 'the last lines of a run cannot be read'),
    });
    this.#options.send({ type: 'run-exited', runId: run.runId, exitCode, signal, containerAlive, ...words });
  }

  #onProbe(key: string, kind: DesiredProbe['kind'], result: ProbeResult | MountProbeResult): void {
    const name = key.slice(kind.length + 1);
    const failed = 'condition' in result ? result.condition !== 'ok' : !result.ok;
    // A dead container fails every check; what it died of is the engine's to tell.
    if (failed && !isExecuting('/proc', this.#options.state().container?.pid ?? 0)) {
      this.#options.loop().observe();
      return;
    }
    const message = this.#options.loop().secrets.text(result.message);
    if ('condition' in result) this.#options.send({ type: 'mount-check', mount: name, condition: result.condition, message });
    else if (kind !== 'mount') this.#options.send({ type: 'check', list: kind, name, ...result, message });
  }
}
