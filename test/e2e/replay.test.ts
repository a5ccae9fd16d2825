/** A crash loop of a real process, gone through again on the host: the same decisions, and those of another policy. */
import type { ApiIncident } from '@relight/shared/api';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { startLab, type Lab, type LabAgent } from '../support/lab.ts';
import { signalProcess } from '../support/processes.ts';
import { waitFor } from '../support/wait.ts';

const host = 'replay-0';
const name = 'looping';
const secret = 'correct-horse-battery';
let lab: Lab;
let agent: LabAgent;

interface Shown {
  readonly kind: string;
  readonly data: Readonly<Record<string, unknown>>;
}
interface Told {
  readonly replays: readonly {
    readonly workload: string;
    readonly incident: string | null;
    readonly exact: boolean;
    readonly inputs: number;
    readonly mismatches: readonly unknown[];
    readonly steps: readonly { readonly input: string; readonly decisions: readonly string[]; readonly phase: string }[];
    readonly whatIf?: { readonly recorded: readonly Shown[]; readonly simulated: readonly Shown[]; readonly readyAfterMs: number | null };
  }[];
}

beforeAll(async () => {
  lab = await startLab({ engineSocket: inject('engineSocket') });
  const envFile = join(lab.directory, 'secrets.env');
  writeFileSync(envFile, `TOKEN=${secret}\n`, { mode: 0o600 });
  const flag = join(lab.directory, 'flag');
  writeFileSync(flag, '');
  agent = await lab.addAgent({
    host,
    workloads: [
      {
        name,
        container: {
          name: `e2e-${name}-${process.pid}`,
          image: inject('engineImage'),
          pull_policy: 'never',
          init: true,
          command: ['sleep', 'infinity'],
          env_file: [envFile],
          volumes: [`${flag}:/flag`],
        },
        // Four times it fails, then it works.
        process: { run: 'echo x >> /flag; echo "my token is $TOKEN"; test $(wc -l < /flag) -gt 4 && exec sleep infinity; exit 7' },
        ready: [{ exec: 'test $(wc -l < /flag) -gt 4', interval: '200ms' }],
        restart: { process: { initial: '300ms', max: '2s', factor: 2, jitter: 0, escalate_after: 10 } },
      },
    ],
  });
  // Its status would be there before the events that led to it.
  await lab.fleet.waitForEvent({ host, workload: name, kind: 'workload.ready' }, () => true, 'it to be ready', 60_000);
});
afterAll(async () => {
  await lab?.dispose();
});

async function replay(...args: readonly string[]): Promise<{ readonly code: number; readonly told: Told }> {
  const { code, stdout } = await lab.agentCommand(agent, 'replay', '--json', ...args);
  return { code, told: JSON.parse(stdout) as Told };
}

const schedule = (decisions: readonly Shown[] = []): readonly unknown[] =>
  decisions.filter(({ kind }) => kind === 'restart.scheduled').map(({ data }) => `${String(data['level'])} ${String(data['delayMs'])}`);

describe('replay', () => {
  test('makes every decision of a crash loop again, as it was, with its reasons', async () => {
    const { code, told } = await replay();
    const [looping] = told.replays;
    expect(looping).toMatchObject({ workload: name, exact: true, mismatches: [] });
    expect(code).toBe(0);
    const events = await lab.fleet.events({ host, workload: name, kind: 'restart.scheduled' });
    const decisions = looping?.steps.flatMap((step) => step.decisions) ?? [];
    for (const { message } of events) expect(decisions).toContain(`restart.scheduled: ${message}`);
    expect(events).toHaveLength(4);
    expect(decisions).toContainEqual(expect.stringMatching(/^workload\.ready: /));
    const { stdout } = await lab.agentCommand(agent, 'replay', '--workload', name);
    expect(stdout).toContain('every decision is the same');
    expect(stdout).toMatch(/ {2}a run ended: the process, exit code 7\n/);
  });

  test('of an incident shows its own time', async () => {
    const incident = await waitFor(
      async () => {
        const { items } = await lab.fleet.api.list<ApiIncident>('incidents', { host, workload: name });
        return items.find(({ closedAt }) => closedAt !== null);
      },
      { timeoutMs: 30_000, what: 'the incident to be closed' },
    );
    const { code, told } = await replay(incident.id);
    expect({ code, ...told.replays[0] }).toMatchObject({ code: 0, exact: true, incident: incident.id });
    const decisions = told.replays[0]?.steps.flatMap((step) => step.decisions) ?? [];
    expect(decisions.filter((decision) => decision.startsWith('process.exited'))).toHaveLength(4);
    expect(decisions).toContainEqual(expect.stringMatching(/^workload\.ready: /));
    expect(told.replays[0]?.steps.length).toBeLessThan((await replay()).told.replays[0]?.steps.length ?? 0);
  });

  test('with another policy: other waits for the same failures', async () => {
    const other = join(lab.directory, 'other.yaml');
    writeFileSync(
      other,
      readFileSync(agent.configFile, 'utf8')
        .replace('300ms', '100ms')
        .replace(/(escalate_after\W+)10/, (_, key: string) => `${key}2`),
    );
    const { told } = await replay('--config', other);
    const whatIf = told.replays[0]?.whatIf;
    expect(schedule(whatIf?.recorded)).toEqual(['process 300', 'process 600', 'process 1200', 'process 2000']);
    expect(schedule(whatIf?.simulated)).toEqual(['process 100', 'container 1000', 'process 400', 'container 2000']);
    expect(whatIf?.readyAfterMs).toBeGreaterThan(0);
  });

  test('goes on after the agent was killed; the journal holds no secret', async () => {
    const before = (await replay()).told.replays[0]?.inputs ?? 0;
    await agent.service.kill();
    await agent.service.start();
    await lab.fleet.waitForEvent({ host, workload: name, kind: 'container.adopted' }, () => true, 'the adoption');
    const started = (await lab.fleet.events({ host, workload: name, kind: 'process.started' })).at(-1);
    signalProcess(-Number(started?.data['pid']), 'SIGKILL');
    await waitFor(async () => (await lab.fleet.events({ host, workload: name, kind: 'workload.ready' })).length === 2, {
      what: 'the recovery',
      timeoutMs: 60_000,
    });
    const { code, told } = await replay();
    expect({ code, exact: told.replays[0]?.exact }).toEqual({ code: 0, exact: true });
    expect(told.replays[0]?.inputs).toBeGreaterThan(before);
    const journal = readFileSync(join(agent.stateDir, 'journal', name, '000001.jsonl'), 'utf8');
    expect(journal).toContain('my token is');
    expect(journal).not.toContain(secret);
  });

  test('what was never recorded is said', async () => {
    expect(await lab.agentCommand(agent, 'replay', 'no-such-incident')).toMatchObject({ code: 1, stdout: '' });
    expect((await lab.agentCommand(agent, 'replay', '--workload', 'other')).stderr).toContain('there is no journal of other');
  });
});
