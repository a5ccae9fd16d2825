/**
 * Runs the checks that are wanted at the moment, each on its own interval, never two of one check at once, and reports every
 * answer. It counts nothing and decides nothing.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Clock, Timer } from '@relight/shared/clock';
import { errorMessage } from '@relight/shared/errors';
import type { CheckSpec, LiveCheckSpec, MountSpec } from '../config/spec.ts';
import type { Engine } from '../engine/engine.ts';
import type { HostGpus } from './gpu.ts';
import type { MountProbes } from './mount.ts';
import { RayNodeMemory } from './ray-node.ts';
import type { MountProbeResult, ProbeResult } from './probe.ts';
import { runProbe } from './run-probe.ts';

interface Where {
  /** Stable: the same check keeps its rhythm from one `set` to the next. */
  readonly key: string;
  readonly containerId: string;
  readonly containerPid: number;
  readonly vars: Readonly<Record<string, string>>;
}
export type DesiredProbe = Where &
  (
    | { readonly kind: 'ready'; readonly spec: CheckSpec }
    | { readonly kind: 'live'; readonly spec: LiveCheckSpec }
    | { readonly kind: 'mount'; readonly spec: MountSpec }
  );

export type OnProbeResult = (key: string, kind: DesiredProbe['kind'], result: ProbeResult | MountProbeResult) => void;

export interface ProberOptions {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly mounts: MountProbes;
  readonly gpus?: HostGpus;
  /** Of the workload. */
  readonly shell: () => readonly string[] | null;
  readonly onResult: OnProbeResult;
  /** Uniform in [0, 1). */
  readonly random?: () => number;
}

/** A readiness check that fails is asked again soon, then less often, up to its interval. */
const firstPauseMs = 25;
/** A node that joins is looked at on this host, which costs nothing to the head; the head itself is asked by `ray-pace.ts`. */
const joiningPauseMs = 500;
/** Many hosts share what is asked, so they must not ask in step: intervals vary by ±10 %, the first one by all of it. */
const sharedSpread = 0.1;

export class Prober {
  readonly #options: ProberOptions;
  readonly #running = new Map<string, Rhythm>();
  readonly #ray: RayNodeMemory;

  constructor(options: ProberOptions) {
    this.#options = options;
    this.#ray = new RayNodeMemory(options.clock);
  }

  /** Starts what is new, stops what is no longer wanted, leaves alone what is the same. */
  set(desired: readonly DesiredProbe[]): void {
    const wanted = new Map(desired.map((probe) => [probe.key, probe]));
    for (const [key, rhythm] of this.#running) {
      if (isDeepStrictEqual(wanted.get(key), rhythm.probe)) continue;
      rhythm.dispose();
      this.#running.delete(key);
    }
    for (const [key, probe] of wanted) if (!this.#running.has(key)) this.#running.set(key, new Rhythm(probe, this.#options, this.#ray));
  }

  /** Asks at once; when an answer is under way, again as soon as it is there, because it may be from before the cause. */
  now(key: string): void {
    this.#running.get(key)?.now();
  }

  dispose(): void {
    for (const rhythm of this.#running.values()) rhythm.dispose();
    this.#running.clear();
  }
}

class Rhythm {
  readonly probe: DesiredProbe;
  readonly #options: ProberOptions;
  readonly #abort = new AbortController();
  #timer: Timer | null = null;
  #asking = false;
  #again = false;
  readonly #ray: RayNodeMemory;
  #pauseMs = firstPauseMs;

  constructor(probe: DesiredProbe, options: ProberOptions, ray: RayNodeMemory) {
    this.probe = probe;
    this.#options = options;
    this.#ray = ray;
    // What was just proven needs no proof at once; readiness does. Never within `set`: the caller is in the middle of something.
    this.#schedule(probe.kind === 'ready' ? 0 : this.#intervalMs * (this.#isShared ? this.#random() : 1));
  }

  now(): void {
    if (this.#asking) this.#again = true;
    else this.#schedule(0);
  }

  dispose(): void {
    this.#timer?.cancel();
    this.#abort.abort();
  }

  /** Whether what is asked serves many hosts. */
  get #isShared(): boolean {
    return this.probe.kind !== 'mount' && this.probe.spec.probe.kind === 'ray-node';
  }

  #random(): number {
    return (this.#options.random ?? Math.random)();
  }

  get #intervalMs(): number {
    return this.probe.kind === 'mount' ? this.probe.spec.check.intervalMs : this.probe.spec.intervalMs;
  }

  #schedule(ms: number): void {
    this.#timer?.cancel();
    this.#timer = this.#options.clock.after(ms, () => void this.#ask());
  }

  async #ask(): Promise<void> {
    const { clock, onResult } = this.#options;
    const began = clock.monotonic();
    this.#asking = true;
    const result = await this.#answer();
    this.#asking = false;
    if (this.#abort.signal.aborted) return;
    const pauseMs = this.#again ? 0 : this.#nextPause(clock.monotonic() - began);
    this.#again = false;
    this.#schedule(pauseMs);
    onResult(this.probe.key, this.probe.kind, result);
  }

  async #answer(): Promise<ProbeResult | MountProbeResult> {
    const { probe } = this;
    const { engine, clock, mounts, shell } = this.#options;
    const { containerId, containerPid, vars } = probe;
    const { signal } = this.#abort;
    try {
      if (probe.kind === 'mount') {
        return await mounts.probe({ containerPid, target: probe.spec.target, timeoutMs: probe.spec.check.timeoutMs, signal });
      }
      const { timeoutMs, intervalMs } = probe.spec;
      return await runProbe(probe.spec.probe, {
        engine,
        clock,
        containerId,
        containerPid,
        shell: shell(),
        vars,
        timeoutMs,
        signal,
        ray: this.#ray,
        mounts,
        ...(this.#options.gpus === undefined ? {} : { gpus: this.#options.gpus }),
        ...(probe.kind === 'ready' ? { pace: { intervalMs, random: this.#random() } } : {}),
      });
    } catch (thrown) {
      const message = errorMessage(thrown);
      return probe.kind === 'mount' ? { condition: 'error', message, durationMs: 0 } : { ok: false, message, durationMs: 0 };
    }
  }

  /** The interval counts from question to question, but a slow answer never makes the next question follow without a pause. */
  #nextPause(tookMs: number): number {
    const vary = this.#isShared ? 1 + sharedSpread * (2 * this.#random() - 1) : 1;
    const rest = Math.max(firstPauseMs, this.#intervalMs * vary - tookMs);
    if (this.probe.kind !== 'ready') return rest;
    const pauseMs = Math.min(this.#pauseMs, rest);
    this.#pauseMs = Math.min(this.#pauseMs * 2, this.#isShared ? joiningPauseMs : this.#intervalMs);
    return pauseMs;
  }
}
