/** People on a host who are not root: members of the group that the configuration names can ask the agent, others cannot. */
import { execFile } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ControlClient } from '@relight/agent/control/client';
import { groupSocketPath } from '@relight/agent/control/socket-path';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { programs, startLab, type Lab, type LabAgent } from '../support/lab.ts';
import { eventually, waitFor } from '../support/wait.ts';

const host = 'group-0';
/** Every Debian and Ubuntu has it, for those who may look at what the machine does. */
const group = 'adm';
const nobody = 65_534;
const groupId = Number(/^adm:[^:]*:(\d+):/m.exec(readFileSync('/etc/group', 'utf8'))?.[1]);
let lab: Lab;
let agent: LabAgent;
let bin: string;
let socket: string;

interface Answer {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** What a person of this host types who is not root, and in these groups. */
function asUser(groups: readonly number[], ...args: readonly string[]): Promise<Answer> {
  const who = [
    '--reuid',
    String(nobody),
    '--regid',
    String(nobody),
    ...(groups.length === 0 ? ['--clear-groups'] : ['--groups', groups.join()]),
  ];
  const command = [...who, '--', join(bin, 'node'), join(bin, 'relight-agent.mjs'), ...args, '--state-dir', agent.stateDir];
  return new Promise((resolve) => {
    execFile('setpriv', command, { env: { PATH: '/usr/bin:/bin' }, cwd: '/' }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? -1), stdout, stderr });
    });
  });
}
const asMember = (...args: readonly string[]): Promise<Answer> => asUser([groupId], ...args);
const asStranger = (...args: readonly string[]): Promise<Answer> => asUser([], ...args);

beforeAll(async () => {
  lab = await startLab({ engineSocket: inject('engineSocket') });
  // Where this repository lies, not everybody may go.
  bin = mkdtempSync(join(tmpdir(), 'relight-bin-'));
  chmodSync(bin, 0o755);
  copyFileSync(process.execPath, join(bin, 'node'));
  copyFileSync(programs.agent, join(bin, 'relight-agent.mjs'));
  agent = await lab.addAgent({
    host,
    config: { control: { group } },
    workloads: [
      {
        name: 'w',
        container: { name: `e2e-group-${process.pid}`, image: inject('engineImage'), pull_policy: 'never', command: ['sleep', 'infinity'] },
      },
    ],
  });
  socket = groupSocketPath(agent.stateDir);
  await lab.fleet.waitForPhase(host, 'w', 'ready');
});

afterAll(async () => {
  await lab?.dispose();
  if (bin !== undefined) rmSync(bin, { recursive: true, force: true });
  // Of an agent that was killed with its lab.
  if (socket !== undefined) rmSync(socket, { force: true });
});

test('a member looks at the agent, pauses and resumes a workload; what is done says by whom', async () => {
  expect(statSync(socket)).toMatchObject({ uid: 0, gid: groupId });
  expect(statSync(socket).mode & 0o777).toBe(0o660);
  expect(statSync(agent.stateDir).mode & 0o777).toBe(0o700);
  const status = await asMember('status', '--json');
  expect(status).toMatchObject({ code: 0, stderr: '' });
  expect(JSON.parse(status.stdout)).toMatchObject({ host });

  expect(await asMember('pause', 'w', '--reason', 'new driver')).toMatchObject({ code: 0, stdout: 'paused w\n' });
  const { reason } = await lab.fleet.waitForPhase(host, 'w', 'paused');
  expect(reason).toContain(`new driver (by hand on the host, by a member of the group ${group})`);
  expect(await asMember('resume', 'w')).toMatchObject({ code: 0 });
  await lab.fleet.waitForPhase(host, 'w', 'ready');
});

test('a member has nothing taken up that stands in a file of root', async () => {
  expect(await asMember('reload', '--dry-run')).toMatchObject({ code: 0 });
  const refused = await asMember('reload');
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain('only root may have the configuration read again');
  expect((await lab.agentCommand(agent, 'reload')).code).toBe(0);
});

test('somebody else is told how to be let in, and nothing more', async () => {
  for (const command of [['status'], ['pause', 'w'], ['restart', 'w'], ['reload']]) {
    const { code, stdout, stderr } = await asStranger(...command);
    expect({ command, code, stdout }).toEqual({ command, code: 3, stdout: '' });
    expect(stderr).toContain(`no permission to talk to the agent in ${agent.stateDir}`);
    expect(stderr).toContain('as a member of the group that control.group names');
  }
  expect((await lab.fleet.workload(host, 'w'))?.phase).toBe('ready');
});

test('a group that the host does not know keeps no agent down; to name another one in a file that is read again is an error', async () => {
  const other = await lab.addAgent({ host: 'group-1', config: { control: { group: 'no-group-yet' } }, workloads: [] });
  await lab.fleet.waitForHost('group-1', 'connected');
  expect(await lab.agentCommand(other, 'reload')).toMatchObject({ code: 0, stdout: 'nothing is different\n' });
  writeFileSync(other.configFile, readFileSync(other.configFile, 'utf8').replace('no-group-yet', 'no-group-either'));
  const refused = await lab.agentCommand(other, 'reload');
  expect(refused.code).toBe(2);
  expect(refused.stderr).toContain('control.group: there is no group "no-group-either" on this host');
});

test('a directory service that is slow to answer holds up nothing but what waits for it', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'relight-getent-'));
  const [hold, asked] = [join(directory, 'hold'), join(directory, 'asked')];
  const script = `#!/bin/sh\n[ -e ${hold} ] && echo $$ > ${asked}.new && mv ${asked}.new ${asked}\nwhile [ -e ${hold} ]; do sleep 0.05; done\necho slow-group:x:${groupId}:\n`;
  writeFileSync(join(directory, 'getent'), script, { mode: 0o755 });
  const slow = await lab.addAgent({
    host: 'group-2',
    config: { control: { group: 'slow-group' } },
    workloads: [],
    service: { env: { PATH: `${directory}:${process.env['PATH'] ?? ''}` } },
  });
  await lab.fleet.waitForHost('group-2', 'connected');
  writeFileSync(hold, '');
  const reload = lab.agentCommand(slow, 'reload');
  await waitFor(() => existsSync(asked), { what: 'the directory service to be asked' });
  expect(await new ControlClient(slow.stateDir).status()).toMatchObject({ host: 'group-2' });
  // It has not answered yet, nor been given up.
  expect(process.kill(Number(readFileSync(asked, 'utf8')), 0)).toBe(true);
  rmSync(hold);
  expect(await reload).toMatchObject({ code: 0, stdout: 'nothing is different\n' });
  rmSync(directory, { recursive: true });
});

test('an agent that was killed is reached again after its next start, and one that stopped leaves no socket', async () => {
  await agent.service.kill();
  expect(await asMember('status')).toMatchObject({ code: 3 });
  await agent.service.start();
  await eventually(async () => expect(await asMember('status')).toMatchObject({ code: 0 }), { what: 'an answer for the member' });
  await agent.service.stop();
  expect(() => statSync(socket)).toThrow('ENOENT');
});
