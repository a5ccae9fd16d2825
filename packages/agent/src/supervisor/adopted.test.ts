import { describe, expect, it } from 'vitest';
import { parseConfig } from '../config/load.ts';
import type { WorkloadSpec } from '../config/spec.ts';
import { blankFacts } from '../engine/blank-facts.ts';
import type { ContainerFacts } from '../engine/engine.ts';
import { specFor } from './adopted.ts';
import type { Context, Effect, SupervisorEvent } from './event.ts';
import type { OpResult } from './op.ts';
import { initialState, type WorkloadState } from './state.ts';
import { transition } from './transition.ts';

const yaml = `
version: 1
workloads:
  - name: w
    container: {adopt: old}
    mounts: [{name: m, type: command, run: mount, target: /m}]
    setup: [{name: s, run: set-up}]
    process: {run: serve}
    live: [{exec: alive}]
`;
function specOf(adoptedId?: string): WorkloadSpec {
  const spec = parseConfig(yaml, '/a.yaml', { hostname: 'h' }).workloads[0];
  if (spec === undefined) throw new Error('no workload');
  return adoptedId === undefined ? spec : { ...spec, container: { ...spec.container, image: 'ray:1', adoptedId } };
}
const labels = { 'relight.agent': 'me', 'relight.workload': 'w', 'relight.generation': '1' };
const facts = (more: Partial<ContainerFacts> = {}): ContainerFacts => ({
  ...blankFacts,
  id: 'old-id',
  name: 'old',
  image: 'ray:1',
  labels,
  status: 'running',
  pid: 100,
  createdAt: 1,
  startedAt: 2,
  ...more,
});

/** The supervisor alone; operations end as the test says. */
class Driver {
  state: WorkloadState = initialState(0);
  readonly ops: string[] = [];
  readonly kinds: string[] = [];
  spec: WorkloadSpec;
  #now = 0;

  constructor(spec: WorkloadSpec) {
    this.spec = spec;
  }

  send(event: SupervisorEvent): void {
    this.#now += 1_000;
    const context: Context = { now: this.#now, random: 0.5, spec: this.spec, ownerId: 'me' };
    const { state, effects } = transition(this.state, event, context);
    this.state = state;
    for (const effect of effects) this.#note(effect);
  }

  look(...containers: readonly ContainerFacts[]): void {
    this.send({ type: 'observed', containers, afterOutage: false });
  }

  done(result: OpResult): void {
    this.send({ type: 'op-done', opId: this.state.op?.id ?? 0, result });
  }

  #note(effect: Effect): void {
    if (effect.kind === 'run') this.ops.push(effect.op.kind);
    if (effect.kind === 'emit') this.kinds.push(effect.event.kind);
  }
}

/** Adopted, as it was found, and ready. */
function adopted(): Driver {
  const driver = new Driver(specOf('old-id'));
  driver.look(facts());
  driver.done({ ok: true, value: { kind: 'adopt', runs: [] } });
  return driver;
}

describe('an adopted container', () => {
  it('is held to nothing that it cannot have', () => {
    const spec = specOf('old-id');
    expect(specFor(spec, { container: null })).toBe(spec);
    const present = specFor(spec, adopted().state);
    expect(present).toMatchObject({ mounts: [], setup: [], process: null, live: [{ restarts: 'container' }] });
    expect(specFor(specOf(), adopted().state).process).not.toBeNull();
  });

  it('becomes ready with no more than a look', () => {
    const driver = adopted();
    expect(driver.ops).toEqual(['adopt']);
    expect(driver.state.phase).toBe('ready');
    expect(driver.state.generation).toBe(1);
    expect(driver.kinds).not.toContain('container.created');
  });

  it('makes way for one with everything when it dies', () => {
    const driver = adopted();
    driver.look(facts({ status: 'exited', pid: 0, exitCode: 137, finishedAt: 3 }));
    driver.done({ ok: true, value: { kind: 'prepare' } });
    driver.done({ ok: true, value: { kind: 'retire' } });
    driver.done({ ok: true, value: { kind: 'create', containerId: 'new', warnings: [] } });
    driver.done({ ok: true, value: { kind: 'start', pid: 200, startedAt: 5 } });
    driver.done({ ok: true, value: { kind: 'mount', run: null } });
    driver.done({ ok: true, value: { kind: 'setup', skipped: false, failedOptional: null } });
    expect(driver.ops).toEqual(['adopt', 'prepare', 'retire', 'create', 'start', 'mount', 'setup', 'process']);
    expect(driver.state.generation).toBe(2);
  });

  it('is not replaced because a process changed that it does not have', () => {
    const driver = adopted();
    driver.send({ type: 'spec-changed', impact: 'process', fields: ['process.run'] });
    expect(driver.state).toMatchObject({ phase: 'ready', replace: false });
    expect(driver.ops).toEqual(['adopt']);
  });

  it('is replaced when somebody asks for a restart: there is no process to restart', () => {
    const driver = adopted();
    driver.send({ type: 'restart', level: 'process', reason: 'by hand' });
    driver.done({ ok: true, value: { kind: 'prepare' } });
    expect(driver.ops).toEqual(['adopt', 'prepare', 'retire']);
  });

  it('that was awaited ends the waiting when it comes', () => {
    const driver = new Driver(specOf());
    driver.look();
    driver.done({ ok: true, value: { kind: 'prepare' } });
    const failure = { code: 'cannot-adopt' as const, message: 'there is none', recoverable: false, advice: 'start it', data: {} };
    driver.done({ ok: false, failure });
    expect(driver.state.phase).toBe('held');
    driver.spec = specOf('old-id');
    driver.look(facts());
    driver.done({ ok: true, value: { kind: 'adopt', runs: [] } });
    expect(driver.state).toMatchObject({ phase: 'ready', held: null, generation: 1 });
    expect(driver.kinds.filter((kind) => kind === 'container.adopted')).toHaveLength(1);
  });
});
