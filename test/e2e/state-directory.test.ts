/** The state directory deleted under a running agent: it starts over by itself, and nothing that it keeps notices. */
import { renameSync, rmSync } from 'node:fs';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { startLab, type Lab, type LabAgent } from '../support/lab.ts';
import { waitFor } from '../support/wait.ts';

const host = 'forgetful-host';
let lab: Lab;
let agent: LabAgent;

beforeAll(async () => {
  lab = await startLab({ engineSocket: inject('engineSocket') });
  agent = await lab.addAgent({
    host,
    workloads: [
      {
        name: 'w',
        container: {
          name: `e2e-forgetful-${process.pid}`,
          image: inject('engineImage'),
          pull_policy: 'never',
          init: true,
          command: ['sleep', 'infinity'],
        },
        process: { run: 'exec sleep infinity', stop_timeout: '1s' },
      },
    ],
  });
});

afterAll(async () => {
  await lab?.dispose();
});

test('the same process adopts the same container, answers on its socket, and lets no second agent beside it', async () => {
  const before = await lab.fleet.waitForPhase(host, 'w', 'ready');
  const container = await lab.engine.inspect(before.containerId ?? '');
  const { pid } = agent.service;
  // Gone at one moment: deleting file by file, one may come back in between.
  renameSync(agent.stateDir, `${agent.stateDir}-gone`);
  rmSync(`${agent.stateDir}-gone`, { recursive: true });
  await lab.fleet.waitForEvent({ host, kind: 'agent.stopped' }, ({ data }) => data['reason'] === 'state-lost', 'the agent to start over');
  await waitFor(async () => (await lab.agentCommand(agent, 'status')).code === 0, {
    timeoutMs: 60_000,
    everyMs: 200,
    what: 'the agent to answer again',
  });
  await lab.fleet.waitForEvent({ host, kind: 'container.adopted' }, () => true, 'the container to be adopted');
  expect(agent.service.pid).toBe(pid);
  const after = await lab.fleet.waitForPhase(host, 'w', 'ready');
  expect(after.containerId).toBe(before.containerId);
  expect(await lab.engine.inspect(before.containerId ?? '')).toMatchObject({ pid: container?.pid, startedAt: container?.startedAt });
  const second = await lab.agentCommand(agent, 'run', '--config', agent.configFile);
  expect(second).toMatchObject({ code: 2, stderr: expect.stringContaining(`pid ${pid}`) as string });
}, 180_000);
