import { describe, expect, it } from 'vitest';
import { parseConfig } from '../config/load.ts';
import type { WorkloadSpec } from '../config/spec.ts';
import type { SupervisorEvent } from '../supervisor/event.ts';
import type { WorkloadState } from '../supervisor/state.ts';
import type { ControlAction } from './action.ts';
import { carryOut, imagesToAskFor } from './carry-out.ts';

const yaml = `
version: 1
workloads:
  - {name: worker, container: {image: 'ray:1'}, process: {run: serve}}
  - {name: web, container: {image: 'nginx:1'}}
  - {name: trainer, container: {adopt: old}, process: {run: train}}
`;
const [worker, web, trainer] = parseConfig(yaml, '/a.yaml', { hostname: 'h' }).workloads as [WorkloadSpec, WorkloadSpec, WorkloadSpec];
const known = { ...trainer, container: { ...trainer.container, image: 'ray:1', adoptedId: 'old-id' } };

class Loop {
  readonly events: SupervisorEvent[] = [];
  readonly state: Pick<WorkloadState, 'container' | 'pause'>;

  readonly spec: WorkloadSpec;

  constructor(spec: WorkloadSpec, { id, paused }: { readonly id?: string; readonly paused?: true } = {}) {
    this.spec = spec;
    this.state = {
      container: id === undefined ? null : ({ id } as WorkloadState['container']),
      pause: paused === undefined ? null : { since: 0, until: null, reason: 'by hand' },
    };
  }

  send(event: SupervisorEvent): void {
    this.events.push(event);
  }
}

function order(loops: Readonly<Record<string, Loop>>, action: Partial<ControlAction>, engineAway: string | null = null) {
  return carryOut({ action: 'restart', ...action }, new Map(Object.entries(loops)), { by: 'by hand', now: 0, engineAway });
}

const adopted = (): Loop => new Loop(known, { id: 'old-id' });

describe('a restart by hand', () => {
  it('restarts the process where there is one of its own', () => {
    const loop = new Loop(worker, { id: 'c' });
    expect(order({ worker: loop }, { workload: 'worker' })).toEqual({ ok: true, message: 'restarting the process of worker' });
    expect(loop.events).toEqual([{ type: 'restart', level: 'process', reason: 'by hand' }]);
  });

  it.each([{}, { level: 'process' as const }])('throws away no adopted container that nobody gave away: %o', (more) => {
    const loop = adopted();
    const { ok, message } = order({ trainer: loop }, { workload: 'trainer', ...more });
    expect({ ok, message }).toEqual({
      ok: false,
      message: expect.stringMatching(/trainer is adopted.*would be lost.*--level container$/) as string,
    });
    expect(loop.events).toEqual([]);
  });

  it('does nothing by halves to a host where one is adopted', () => {
    const loops = { worker: new Loop(worker, { id: 'c' }), trainer: adopted() };
    expect(order(loops, {})).toMatchObject({
      ok: false,
      message: expect.stringContaining('the others can be restarted by name') as string,
    });
    expect([loops.worker.events, loops.trainer.events]).toEqual([[], []]);
  });

  it('makes a new container of an adopted one when that is said, and says what it costs', () => {
    const loop = adopted();
    expect(order({ trainer: loop }, { level: 'container' })).toEqual({
      ok: true,
      message: 'making a new container of trainer, which is adopted: what was written in the old one outside of volumes is lost',
    });
    expect(loop.events).toHaveLength(1);
  });

  describe('that makes a new container of an image that is not on this host', () => {
    const running = (spec: WorkloadSpec, is = true): Loop => {
      const loop = new Loop(spec, { id: 'c' });
      return Object.assign(loop, { state: { ...loop.state, container: { ...loop.state.container, running: is } } });
    };
    const restart = (loops: Readonly<Record<string, Loop>>, action: Partial<ControlAction>, absent: readonly string[]) =>
      carryOut({ action: 'restart', ...action }, new Map(Object.entries(loops)), {
        by: 'by hand',
        now: 0,
        engineAway: null,
        absent: new Set(absent),
      });

    it.each([
      [worker, { level: 'container' as const }, 'ray:1 of worker'],
      [web, {}, 'nginx:1 of web'],
    ])('is refused while one runs: %#', (spec, level, what) => {
      const loop = running(spec);
      expect(restart({ [spec.name]: loop }, { workload: spec.name, ...level }, [spec.container.image])).toEqual({
        ok: false,
        message: expect.stringMatching(new RegExp(`^nothing is restarted: the image ${what} is not on this host, .*docker pull`)) as string,
      });
      expect(loop.events).toEqual([]);
    });

    it('is carried out where the process alone is restarted, none runs, or the image is here', () => {
      for (const [loop, level, absent] of [
        [running(worker), 'process', ['ray:1']],
        [running(worker, false), 'container', ['ray:1']],
        [running(worker), 'container', []],
      ] as const) {
        expect(restart({ worker: loop }, { level }, absent)).toMatchObject({ ok: true });
        expect(loop.events).toHaveLength(1);
      }
    });

    it('asks for the images of those alone that would be stopped', () => {
      const loops = new Map(Object.entries({ worker: running(worker), web: running(web, false) }));
      expect(imagesToAskFor({ action: 'restart', level: 'container' }, loops)).toEqual(['ray:1']);
      expect(imagesToAskFor({ action: 'restart', workload: 'web', level: 'container' }, loops)).toEqual([]);
      expect(imagesToAskFor({ action: 'restart' }, loops)).toEqual([]);
      expect(imagesToAskFor({ action: 'pause' }, loops)).toEqual([]);
    });
  });

  it('restarts the process of what was adopted once the container is one of its own making', () => {
    expect(order({ trainer: new Loop(known, { id: 'new-id' }) }, {})).toEqual({ ok: true, message: 'restarting the process of trainer' });
  });

  it('says to each workload of a host what is done to it', () => {
    const loops = { worker: new Loop(worker), web: new Loop(web), other: new Loop(worker, { paused: true }) };
    expect(order(loops, {}).message).toBe(
      'restarting the process of worker; making a new container of web, which has no process of its own to restart; ' +
        'other is paused: its process is restarted when it is resumed',
    );
  });

  it('promises nothing for now while the engine is away', () => {
    const { ok, message } = order({ worker: new Loop(worker), web: new Loop(web, { paused: true }) }, {}, 'no such file: docker.sock');
    expect({ ok, message }).toEqual({
      ok: true,
      message:
        'the engine does not answer (no such file: docker.sock); worker: its process is restarted when it does; web is paused: a new ' +
        'container is made when it is resumed',
    });
  });
});
