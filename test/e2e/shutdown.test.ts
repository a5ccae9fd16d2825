/** A machine with a real systemd goes down: what its agent says in the seconds that it has, and what the fleet makes of it. */
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { startLab, type Lab, type LabAgent } from '../support/lab.ts';
import { SystemdMachine } from '../support/systemd-machine.ts';
import { eventually, waitFor } from '../support/wait.ts';

let lab: Lab;
const deadAfterMs = 5_000;
const engineSocket = inject('engineSocket');

beforeAll(async () => {
  lab = await startLab({
    engineSocket,
    collector: { liveness: { heartbeat: '1s', suspect_after: '3s', dead_after: `${deadAfterMs}ms`, restart_grace: '1s' } },
  });
});
afterAll(() => lab?.dispose());

async function withMachine(
  host: string,
  body: (machine: SystemdMachine, agent: LabAgent) => Promise<void>,
  { systemctlTakesMs = 0 } = {},
): Promise<void> {
  const agent = await lab.addAgent({ host, workloads: [], start: false });
  await using machine = await SystemdMachine.boot({ lab, agent, engineSocket, image: inject('engineImage'), systemctlTakesMs });
  await lab.fleet.waitForHost(host, 'connected');
  await body(machine, agent);
}

/** What the agent has said last of its end. */
const goodbye = (host: string): Promise<string> =>
  waitFor(async () => (await lab.fleet.events({ host, kind: 'agent.stopped', limit: 100 })).at(-1)?.message, { what: 'the goodbye' });

/** Of this host, that went to the webhook. */
const alerts = (host: string): readonly unknown[] => lab.webhook.alerts().filter(({ labels }) => labels['host'] === host);

/** Long enough for a silent host to be called dead, if it were. */
async function longSilence(): Promise<void> {
  const until = Date.now() + deadAfterMs + 1_000;
  await waitFor(() => Date.now() >= until, { what: 'the time', timeoutMs: 4 * deadAfterMs, everyMs: 50 });
}

const conditions = async (host: string): Promise<readonly string[]> =>
  ((await lab.fleet.host(host))?.conditions ?? []).map(({ name }) => name);

describe('it goes down in order', () => {
  test.each([
    // A machine with fifty things to do at once: systemctl is slow to start, and the host must not be called stopped for it.
    ['reboot', 'rebooting', 2_000, 'relight-agent stopped: the machine goes down for a reboot'],
    ['poweroff', 'stopped', 0, 'relight-agent stopped: the machine is switched off'],
  ] as const)('systemctl %s: the host is %s, where systemctl takes %i ms to answer', (how, state, systemctlTakesMs, words) =>
    withMachine(
      `down-${how}`,
      async (machine) => {
        await machine.goesDown(how);
        expect(await lab.fleet.waitForHost(`down-${how}`, state)).toMatchObject({ state });
        expect(await goodbye(`down-${how}`)).toBe(words);
        await longSilence();
        expect(alerts(`down-${how}`)).toEqual([]);
      },
      { systemctlTakesMs },
    ),
  );
});

test('only the agent is stopped: nothing is said of the machine, and it is as before when it is started again', () =>
  withMachine('service', async (machine) => {
    // Type=notify: systemd has been told that it serves, by a child, while the agent dials the collector.
    const statusText = async (): Promise<string> => (await machine.shell('systemctl', 'show', '-P', 'StatusText', 'relight-agent')).trim();
    await eventually(async () => expect(await statusText()).toBe('supervising 0 workload(s)'), { what: 'what systemd was told' });
    await machine.shell('systemctl', 'stop', 'relight-agent');
    await lab.fleet.waitForHost('service', 'stopped');
    expect(await goodbye('service')).toBe('relight-agent stopped');
    await machine.shell('systemctl', 'start', 'relight-agent');
    await lab.fleet.waitForHost('service', 'connected');
    const since = new Date().toISOString();
    await machine.shell('systemctl', 'kill', '--signal', 'SIGKILL', 'relight-agent');
    // The state itself lasts two seconds, and then it is one more of silence.
    await lab.fleet.waitForEvent({ host: 'service', kind: 'agent.disconnected', since }, () => true, 'the connection to be gone');
    await lab.fleet.waitForEvent({ host: 'service', kind: 'agent.started', since }, () => true, 'systemd to start it again');
    await lab.fleet.waitForHost('service', 'connected');
  }));

test('a reboot is scheduled: said while it is, over when it is cancelled; the silence of a power cut before it is no death', () =>
  withMachine('scheduled', async (machine) => {
    // The agent looks every ten seconds.
    const isScheduled = async (): Promise<boolean> => (await conditions('scheduled')).includes('reboot-scheduled');
    await machine.shell('shutdown', '-r', '+10');
    await waitFor(isScheduled, { what: 'the condition', timeoutMs: 60_000 });
    await machine.shell('shutdown', '-c');
    await waitFor(async () => !(await isScheduled()), { what: 'the condition to be over', timeoutMs: 60_000 });

    // Within this minute.
    await machine.shell('shutdown', '-r', '+1');
    await waitFor(isScheduled, { what: 'the condition', timeoutMs: 40_000 });
    await machine.cutPower();
    const { reason } = await lab.fleet.waitForHost('scheduled', 'rebooting');
    expect(reason).toMatch(/^a reboot was scheduled: /);
    await longSilence();
    expect(alerts('scheduled')).toEqual([]);
  }));
