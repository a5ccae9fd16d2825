import { RelightError } from '@relight/shared/errors';
import { ManualClock } from '@relight/shared/manual-clock';
import { describe, expect, it } from 'vitest';
import { createBody } from '../../../../test/support/create-body.ts';
import { FakeEngine } from '../../../../test/support/fake-engine.ts';
import { workloadFixture } from '../../../../test/support/specs.ts';
import type { ContainerSpec } from '../config/spec.ts';
import { retire } from './retire.ts';
import type { StageContext } from './stage.ts';

/** As Docker 20.10 says it with `"bridge": "none"`. */
const noSandbox = new RelightError('engine-error', 'sandbox 3828ab459cfc not found');

async function host(container: Partial<ContainerSpec> = {}) {
  const clock = new ManualClock();
  const engine = new FakeEngine({ clock });
  const { id } = await engine.create('worker', createBody('fake:latest', ['sleep', '1000']));
  await engine.start(id);
  const events: Parameters<StageContext['emit']>[0][] = [];
  /** What was asked of the engine when nobody read the container any more. */
  let unread: readonly string[] = [];
  const spec = workloadFixture({}, { name: 'worker', ...container });
  const context = {
    engine,
    clock,
    spec,
    ownerId: 'owner',
    signal: new AbortController().signal,
    emit: (event: (typeof events)[number]) => events.push(event),
    beforeRemoval: () => {
      unread = [...engine.calls];
      return Promise.resolve();
    },
  } as unknown as StageContext;
  const retired = () => retire({ kind: 'retire', containerId: id, asName: 'worker-relight-old-1', graceful: false }, context);
  return { engine, id, events, retired, unread: () => unread };
}

describe('an engine that does not rename what runs', () => {
  it('does so once it is dead; nothing is lost, and nothing to tell', async () => {
    const { engine, id, events, retired } = await host();
    engine.fail('rename', noSandbox);
    await retired();
    expect(await engine.inspect(id)).toMatchObject({ name: 'worker-relight-old-1', status: 'exited' });
    expect(events).toEqual([]);
  });

  it('nor a dead one: it is removed when nobody reads it any more, and an event says why', async () => {
    const { engine, id, events, retired, unread } = await host();
    engine.fail('rename', noSandbox, Infinity);
    await retired();
    expect(await engine.inspect(id)).toBeNull();
    expect(unread()).toContain(`kill ${id}`);
    expect(unread()).not.toContain(`remove ${id}`);
    expect(events).toMatchObject([
      { kind: 'host.notice', severity: 'warning', message: expect.stringContaining(noSandbox.message) as string },
    ]);
  });

  it('an adopted one stays with its anonymous volumes, and a person is told what to do', async () => {
    const { engine, id, retired } = await host({ adopt: 'worker' });
    engine.fail('rename', noSandbox, Infinity);
    await expect(retired()).rejects.toMatchObject({
      code: 'engine-error',
      recoverable: true,
      advice: expect.stringContaining('docker rename worker worker-relight-old-1') as string,
    });
    expect(await engine.inspect(id)).toMatchObject({ name: 'worker', status: 'exited' });
  });

  it.each([{}, { adopt: 'worker' }])('any other refusal may be a disk of the engine: what runs goes on (%o)', async (container) => {
    const { engine, id, retired } = await host(container);
    const readOnly = new RelightError('engine-error', 'open /var/lib/docker/containers/1f/.tmp-hostname: read-only file system');
    engine.fail('rename', readOnly, Infinity);
    await expect(retired()).rejects.toBe(readOnly);
    expect(await engine.inspect(id)).toMatchObject({ name: 'worker', status: 'running' });
  });

  it('an engine that does not answer says nothing about the container: it goes on running', async () => {
    const { engine, id, retired } = await host();
    engine.fail('rename', 'engine-timeout', Infinity);
    await expect(retired()).rejects.toMatchObject({ code: 'engine-timeout' });
    expect(await engine.inspect(id)).toMatchObject({ name: 'worker', status: 'running' });
  });
});
