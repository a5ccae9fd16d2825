/** The first run on a machine with systemd: one command after the package, and the service keeps the container that was there. */
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { Machine } from '../support/system/machine.ts';

const agent = 'relight-agent';
const container = 'trainer';
let machine: Machine;

beforeAll(async () => {
  machine = await Machine.boot({
    engineSocket: inject('engineSocket'),
    image: inject('machineImage'),
    name: 'gpu-1',
    packages: inject('packages'),
  });
  await machine.makeWorkerImage('worker:latest');
});
afterAll(() => machine?.[Symbol.asyncDispose]());

const life = (): Promise<string> => machine.shell(`docker inspect -f '{{.Id}} {{.State.Pid}} {{.State.StartedAt}}' ${container}`);

test('setup writes the configuration and starts the service, which takes the container over as it runs', async () => {
  await machine.shell(`docker run -d --restart always --init --name ${container} worker:latest sleep infinity`);
  const before = await life();
  expect(await machine.shell(`dpkg -i /packages/${agent}_*.deb`)).toContain('as root: relight-agent setup');
  // As where the tarball was unpacked: nobody has enabled it.
  await machine.shell(`systemctl disable ${agent}`);
  expect(await machine.unit(agent, 'ActiveState')).toBe('inactive');

  const said = await machine.shell('relight-agent setup --yes --label pool=test');
  expect(said).toContain('the agent has been started: systemctl enable --now --no-reload relight-agent');
  expect(await machine.shell(`systemctl is-enabled ${agent}`)).toBe('enabled\n');
  await machine.waitForUnit(agent, 'StatusText', 'supervising 1 workload(s): 1 ready');
  expect(await life()).toBe(before);
  expect(await machine.shell(`docker inspect -f '{{.HostConfig.RestartPolicy.Name}}' ${container}`)).toBe('no\n');
  expect(await machine.shell('stat -c "%U %a" /etc/relight/agent.yaml')).toBe('root 600\n');
});

test('a second run changes nothing; --force takes nothing away, keeps the old file, and the running agent takes up the new one', async () => {
  const pid = await machine.unit(agent, 'MainPID');
  const before = await machine.shell('cat /etc/relight/agent.yaml');
  const second = await machine.shell('relight-agent setup --yes');
  expect(second).toContain('nothing was changed');
  expect(second).not.toContain('start the agent');
  expect(await machine.shell('cat /etc/relight/agent.yaml')).toBe(before);

  expect(await machine.tries('relight-agent setup --yes --force --no-workloads --label pool=test')).toMatchObject({
    exitCode: 2,
    stderr: expect.stringMatching(/holds what a new one would not.*: workload trainer\n/) as string,
  });
  expect(await machine.shell('ls /etc/relight; cat /etc/relight/agent.yaml')).toBe(`agent.yaml\n${before}`);

  const empty = 'version: 1\nhost: {labels: {pool: test}}\nworkloads: []\n';
  await machine.shell(`printf '%s' '${empty}' > /etc/relight/agent.yaml`);
  await machine.waitForUnit(agent, 'StatusText', /^supervising 0 workload/);
  const said = await machine.shell(`relight-agent setup --yes --force --label pool=test --container ${container}`);
  expect(said).toContain('see what the agent does: relight-agent status');
  expect(await machine.shell('cat /etc/relight/agent.yaml.bak')).toBe(empty);
  await machine.waitForUnit(agent, 'StatusText', 'supervising 1 workload(s): 1 ready');
  expect(await machine.unit(agent, 'MainPID')).toBe(pid);
  await machine.shell(`systemctl stop ${agent}`);
  expect(await machine.shell('relight-agent setup --yes')).toMatch(/start the agent:\s+systemctl enable --now/);
  await machine.shell(`systemctl start ${agent}`);
});

test('a purge takes both files', async () => {
  await machine.shell(`dpkg -P ${agent}`);
  expect(await machine.shell('ls /etc/relight 2>/dev/null || true')).toBe('');
});

test('joined before it is set up: its service waits, says what to do, and begins by itself with what setup writes', async () => {
  await machine.shell(`dpkg -i /packages/relight-collector_*.deb`);
  const { join } = JSON.parse(await machine.shell('relight-collector init --json --url https://127.0.0.1:7460')) as { join: string };
  await machine.shell('systemctl restart relight-collector');
  expect(await machine.shell(`dpkg -i /packages/${agent}_*.deb`)).toContain('as root: relight-agent setup');
  expect(await machine.shell(`${join} 2>&1`)).toContain('Next: relight-agent setup');
  await machine.reboot();
  await machine.waitForUnit(
    agent,
    'StatusText',
    'waits for its configuration: /etc/relight/agent.yaml is not there. Make it: relight-agent setup',
  );
  expect(await machine.tries('relight-agent status')).toMatchObject({
    exitCode: 3,
    stderr: expect.stringContaining('Make it: relight-agent setup') as string,
  });
  const pid = await machine.unit(agent, 'MainPID');
  expect(await machine.shell('relight-agent setup --yes --no-workloads')).toContain('see what the agent does: relight-agent status');
  await machine.waitForUnit(agent, 'StatusText', 'supervising 0 workload(s)');
  expect([await machine.unit(agent, 'MainPID'), await machine.unit(agent, 'NRestarts')]).toEqual([pid, '0']);
});

test('a configuration that is refused is in the status line of the unit, with the next step: while the old one goes on, and at a start', async () => {
  const refused = '/etc/relight/agent.yaml:2:1: is not valid';
  await machine.write('/etc/relight/agent.yaml', 'version: 1\nworkload: []\nworkloads: []\n', '600');
  await machine.waitForUnit(
    agent,
    'StatusText',
    `supervising 0 workload(s); its configuration is refused (relight-agent status): ${refused}`,
  );
  await machine.shell(`systemctl restart --no-block ${agent}`);
  await machine.waitForUnit(agent, 'StatusText', `does not start: ${refused}. See why, and correct it: relight-agent check`);
  expect((await machine.tries(`systemctl status --no-pager ${agent}`)).stdout).toMatch(/Status: "does not start: [^"]*:2:1: is not valid/);
  await machine.write('/etc/relight/agent.yaml', 'version: 1\nworkloads: []\n', '600');
  await machine.waitForUnit(agent, 'StatusText', 'supervising 0 workload(s)');

  const collector = 'relight-collector';
  await machine.shell('cp -p /etc/relight/collector.yaml /root && echo "lisen: 127.0.0.1:7460" >> /etc/relight/collector.yaml');
  await machine.shell(`systemctl restart --no-block ${collector}`);
  await machine.waitForUnit(
    collector,
    'StatusText',
    /^does not start: .*collector\.yaml:\d+:1: is not valid\. See why, and correct it: relight-collector check$/,
  );
  await machine.shell('cp -p /root/collector.yaml /etc/relight');
  await machine.waitForUnit(collector, 'StatusText', /^listening on /);
});
