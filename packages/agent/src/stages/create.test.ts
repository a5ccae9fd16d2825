import { ManualClock } from '@relight/shared/manual-clock';
import { RelightError } from '@relight/shared/errors';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { createBody } from '../../../../test/support/create-body.ts';
import { FakeEngine } from '../../../../test/support/fake-engine.ts';
import { workloadFixture } from '../../../../test/support/specs.ts';
import { specFingerprint } from '../config/impact.ts';
import type { AgentSpec, WorkloadSpec } from '../config/spec.ts';
import type { OpValue } from '../supervisor/op.ts';
import { create } from './create.ts';
import type { StageContext } from './stage.ts';

const stateDir = mkdtempSync(join(tmpdir(), 'create-'));
afterEach(() => rmSync(stateDir, { recursive: true, force: true }));

const name = 'worker';
/** As Docker says it; the name is given away before the container can be seen. */
const conflict = (): RelightError =>
  new RelightError('name-conflict', `Conflict. The container name "/${name}" is already in use by container "96030b12613f"`, {
    data: { holderId: '96030b12613f' },
  });

const spec = workloadFixture({}, { name });

class Standing {
  readonly clock = new ManualClock();
  readonly engine = new FakeEngine({ clock: this.clock, images: ['image:1'] });
  readonly abort = new AbortController();

  create(): Promise<OpValue> {
    const context = {
      engine: this.engine,
      clock: this.clock,
      spec,
      agent: { stateDir, vars: [] } as unknown as AgentSpec,
      ownerId: 'owner',
      signal: this.abort.signal,
    } as unknown as StageContext;
    return create({ kind: 'create', generation: 1 }, context);
  }

  /** Lets the time pass that it waits for. */
  async during<T>(work: Promise<T>): Promise<T> {
    const running = new Set([work]);
    const end = (): void => void running.delete(work);
    work.then(end, end);
    while (running.size > 0) {
      await new Promise((resolve) => setImmediate(resolve));
      this.clock.advance(10);
    }
    return work;
  }

  get tries(): number {
    return this.engine.calls.filter((call) => call.startsWith('create ')).length;
  }
}

describe('a name that is in use, by nobody who can be seen', () => {
  test('is free a moment later: taken then, with nothing told', async () => {
    const standing = new Standing();
    standing.engine.fail('create', conflict(), 5);
    expect(await standing.during(standing.create())).toMatchObject({ kind: 'create' });
    expect(standing.tries).toBe(6);
  });

  test("becomes another owner's: held by that one, who is named", async () => {
    const standing = new Standing();
    standing.engine.fail('create', conflict(), Number.POSITIVE_INFINITY);
    const work = standing.create();
    work.catch(() => {});
    while (standing.tries < 3) {
      await new Promise((resolve) => setImmediate(resolve));
      standing.clock.advance(10);
    }
    standing.engine.heal('create');
    const labels = { 'com.docker.compose.project': 'train', 'com.docker.compose.service': 'ray' };
    const { id } = await standing.engine.create(name, createBody('image:1', ['sleep'], { Labels: labels }));
    await expect(standing.during(work)).rejects.toMatchObject({
      code: 'name-conflict',
      recoverable: false,
      message: expect.stringContaining('made by Docker Compose (project train, service ray') as string,
      data: { holderId: id },
    });
  });

  test('stays so: no person could mend what is not there, so it is tried again', async () => {
    const standing = new Standing();
    standing.engine.fail('create', conflict(), Number.POSITIVE_INFINITY);
    await expect(standing.during(standing.create())).rejects.toMatchObject({
      code: 'name-conflict',
      recoverable: true,
      message: `the engine says that the name "${name}" is in use, and shows no container that has it`,
    });
    expect(standing.clock.monotonic()).toBeGreaterThanOrEqual(10_000);
    expect(standing.tries).toBeLessThan(40);
  });

  test('is waited for no longer than it is wanted', async () => {
    const standing = new Standing();
    standing.engine.fail('create', conflict(), Number.POSITIVE_INFINITY);
    const work = standing.create();
    standing.abort.abort(new RelightError('cancelled', 'overtaken by events'));
    await expect(standing.during(work)).rejects.toMatchObject({ code: 'cancelled' });
  });
});

describe('a container of the wanted generation that a call which was given up has left', () => {
  const leave = async (standing: Standing, madeFrom: WorkloadSpec, start: boolean): Promise<string> => {
    const Labels = {
      'relight.agent': 'owner',
      'relight.workload': spec.name,
      'relight.generation': '1',
      'relight.spec': JSON.stringify(specFingerprint(madeFrom)),
    };
    const { id } = await standing.engine.create(name, createBody('image:1', ['sleep'], { Labels }));
    if (start) await standing.engine.start(id);
    return id;
  };
  const earlier = workloadFixture({}, { name, environment: { BUCKET: 'earlier' } });

  test.each([
    ['made from the present configuration is taken over', spec, false, true],
    ['made from one that differs in nothing of the container is taken over', { ...spec, readyWindowMs: 1 }, false, true],
    ['made from an earlier configuration is removed', earlier, false, false],
    ['that was started is left to the supervisor', earlier, true, true],
  ])('%s', async (_, madeFrom, start, taken) => {
    const standing = new Standing();
    const left = await leave(standing, madeFrom, start);
    const made = (await standing.during(standing.create())) as Extract<OpValue, { kind: 'create' }>;
    expect(made.containerId === left).toBe(taken);
    expect([...standing.engine.containers.keys()]).toEqual([made.containerId]);
  });
});
