/** The packages as a person meets them: installed on a fresh machine, upgraded under load, removed, purged. No workload notices. */
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { FleetClient } from '../support/fleet-client.ts';
import { lineDifference, without } from '../support/line-difference.ts';
import { countingScript, judge, readAllPages, waitForEnd } from '../support/numbered-lines.ts';
import { version as ownVersion } from '@relight/shared/version';
import { laterVersion } from '../support/system/later-version.ts';
import { Machine } from '../support/system/machine.ts';
import { eventually, waitFor } from '../support/wait.ts';

const host = 'gpu-0';
const agent = 'relight-agent';
const collector = 'relight-collector';
const workload = 'counter';
const filter = { host, workload, source: 'process' };

/** Real time: systemd's own clock cannot be moved. */
async function longerThan(ms: number): Promise<void> {
  const until = performance.now() + ms;
  await waitFor(() => performance.now() >= until, { what: 'the time', timeoutMs: 2 * ms, everyMs: 250 });
}

interface Made {
  readonly url: string;
  readonly fingerprint: string;
  readonly operatorToken: string;
  /** The line that joins a host. */
  readonly join: string;
}

let machine: Machine;
let made: Made;
let fleet: FleetClient | null = null;

beforeAll(async () => {
  const name = host;
  machine = await Machine.boot({ engineSocket: inject('engineSocket'), image: inject('machineImage'), name, packages: inject('packages') });
  await machine.makeWorkerImage('worker:latest');
});
afterAll(() => machine?.[Symbol.asyncDispose]());

async function theFleet(): Promise<FleetClient> {
  fleet ??= new FleetClient(`https://${await machine.address()}:7460`, made.operatorToken, made.fingerprint);
  return fleet;
}

/** What tells one life of the workload from another: container, its start, and the processes that Relight has started in it. */
const life = (): Promise<string> =>
  machine.shell(
    `set -e; docker inspect -f '{{.Id}} {{.State.Pid}} {{.State.StartedAt}}' ${workload}; ps -eo pid,args | grep '[r]elight-run'`,
  );

const agentPid = (): Promise<string> => machine.unit(agent, 'MainPID');
const collectorPid = (): Promise<string> => machine.unit(collector, 'MainPID');
/** `relight` as an operator has it, beside the collector. */
const relight = (command: string): Promise<string> =>
  machine.shell(`RELIGHT_URL=${made.url} RELIGHT_TOKEN=${made.operatorToken} RELIGHT_FINGERPRINT=${made.fingerprint} relight ${command}`);
const versions = async (): Promise<string[]> =>
  (await machine.shell(`dpkg-query -W -f '\${Version}\n' ${agent} ${collector}`)).trim().split('\n');

/** Supervised by another process than `before`, and ready by its word. */
async function backAfter(before: string): Promise<void> {
  await machine.waitForUnit(agent, 'MainPID', new RegExp(`^(?!${before}$|0$)`), 120_000);
  await machine.waitForUnit(agent, 'StatusText', 'supervising 1 workload(s): 1 ready', 120_000);
}

const configuration = `version: 1
host:
  name: ${host}
  gate: {quiet_for: 0s, package_manager_idle: false}
  # What containers may stand on: a daemon of the host that a command has left.
  setup: [{name: daemon, run: "setsid -f sleep 987654"}]
workloads:
  - name: ${workload}
    container: {name: ${workload}, image: "worker:latest", pull_policy: never, network_mode: none, init: true, command: [sleep, infinity]}
    process: {run: '${countingScript({ perSecond: 500, stopFile: '/stop' })}', stop_timeout: 1s}
`;

describe('installed', () => {
  test('the collector listens at once, under an account of its own', async () => {
    const said = await machine.shell(`dpkg -i /packages/${collector}_*.deb`);
    expect(said).toMatch(
      /Next, as root:\n.* listen: 0\.0\.0\.0:7460 .*\n {2}relight-collector init --url \S+\n {2}systemctl restart relight-collector\n/,
    );
    expect(await machine.unit(collector, 'ActiveState')).toBe('active');
    expect(await machine.unit(collector, 'StatusText')).toBe('listening on http://127.0.0.1:7460');
    const owners = await machine.shell(
      'stat -c "%U %a" /var/lib/relight-collector /var/lib/relight-collector/relight.db /etc/relight/collector.yaml',
    );
    expect(owners).toBe('relight-collector 700\nrelight-collector 600\nroot 640\n');
  });

  test('init makes it reachable for others, with TLS; root makes tokens beside it, and the service goes on with its files', async () => {
    await machine.shell(`sed -i 's/^# listen: .*/listen: 0.0.0.0:7460/' /etc/relight/collector.yaml`);
    const said = await machine.tries('relight-collector init --json --url https://127.0.0.1:7460');
    expect(said.stderr).toBe('');
    made = JSON.parse(said.stdout) as Made;
    await machine.shell(`systemctl restart ${collector}`);
    expect(await machine.unit(collector, 'StatusText')).toBe('listening on https://0.0.0.0:7460');
    expect(await machine.shell('relight-collector token create --kind join --uses 2')).toMatch(/^rlj_/);
    expect(await machine.shell('find /var/lib/relight-collector ! -user relight-collector')).toBe('');
    expect(await relight('status')).toBeDefined();
    expect(await machine.shell('stat -c "%U %a" /etc/relight/operator.yaml')).toBe('root 600\n');
    expect(await machine.shell('relight status && relight-collector check')).toMatch(
      /no hosts yet[^]*is held by the collector that runs[^]*\n0 errors/,
    );
    // Not the account of the service, whose files they are.
    for (const action of ['collector.init', 'token.create'])
      expect((await relight(`audit --action ${action}`)).match(/ by root, admin/g)).toHaveLength(1);
    const packed = await machine.shell('relight-collector support-bundle -o /root/collector.tar.gz 2>&1');
    expect(packed).toContain('in it: journal.txt');
    // Everything but what operators alone are told.
    expect(packed.match(/^left out: .*/gm)).toEqual([expect.stringMatching(/: metrics\.txt: /), expect.stringMatching(/: api\.json: /)]);
    const bundle = await machine.shell('tar -xzOf /root/collector.tar.gz');
    expect(bundle).toMatch(new RegExp(`"heldBy": "[^"]+ \\(pid ${await collectorPid()}\\)"[^]*"status": 200`));
    expect(bundle).toMatch(/^ActiveState=active$/m);
    expect(bundle).toMatch(/^relight\.db {2}ok /m);
    expect(await machine.shell('find /var/lib/relight-collector ! -user relight-collector')).toBe('');
  });

  test('the agent waits for its configuration, says so, and is ready with its first look', async () => {
    const said = await machine.shell(`dpkg -i /packages/${agent}_*.deb`);
    expect(said).toContain('/usr/share/doc/relight-agent/examples/agent.yaml');
    expect(await machine.shell('head -n 1 /usr/share/doc/relight-agent/docs/install.md')).toBe('# Install, upgrade, remove\n');
    expect(await machine.unit(agent, 'ActiveState')).toBe('inactive');
    expect(await machine.unit(agent, 'UnitFileState')).toBe('enabled');
    await machine.write('/etc/relight/agent.yaml', configuration);
    expect(await machine.shell(made.join)).toContain(`${host} has joined ${made.url}`);
    await machine.shell(`systemctl start ${agent}`);
    expect(await machine.unit(agent, 'ActiveState')).toBe('active');
    await (await theFleet()).waitForPhase(host, workload, 'ready');
    await machine.waitForUnit(agent, 'StatusText', 'supervising 1 workload(s): 1 ready');
  });

  test.each([
    [collector, 1.3],
    [agent, 9.3],
  ])('%s is exposed no more than docs/agent-service.md says: %d', async (unit, documented) => {
    const last = (await machine.shell(`systemd-analyze security --no-pager ${unit} | tail -n 1`)).trim();
    expect(Number(/: ([\d.]+) /.exec(last)?.[1])).toBeLessThanOrEqual(documented);
  });

  test('ps, top and pgrep call them by their names, of which the kernel keeps 15 characters', async () => {
    // What one of them has forked has its name, too, until it executes something else.
    await eventually(async () => expect(await machine.shell(`pgrep -x ${agent}`)).toBe(`${await agentPid()}\n`), { what: 'one agent' });
    await eventually(async () => expect(await machine.shell(`pgrep -x ${collector.slice(0, 15)}`)).toBe(`${await collectorPid()}\n`), {
      what: 'one collector',
    });
    expect(await machine.shell(`ps -o args= -p ${await agentPid()}`)).toMatch(
      /relight-agent\.mjs run --config \/etc\/relight\/agent\.yaml/,
    );
  });

  test('man pages and completions are found where man and the shells look', async () => {
    for (const program of [agent, collector, 'relight']) {
      for (const locale of ['C', 'C.UTF-8']) {
        expect(await machine.tries(`LC_ALL=${locale} MANWIDTH=100 man --warnings -P cat ${program}`)).toMatchObject({
          exitCode: 0,
          stdout: expect.stringMatching(new RegExp(`NAME\\s+${program} - .*COMMANDS`, 's')) as string,
          stderr: '',
        });
      }
      await machine.shell(`zsh -n /usr/share/zsh/vendor-completions/_${program}`);
    }
    const bash = `. /usr/share/bash-completion/completions/${agent}; COMP_WORDS=(${agent} restart --level ''); COMP_CWORD=3; _relight_agent; echo "\${COMPREPLY[@]}"`;
    expect(await machine.shell(bash)).toBe('process container\n');
    expect((await machine.shell(`fish -c "complete -C '${agent} import '"`)).split('\n').map((line) => line.split('\t')[0])).toEqual(
      expect.arrayContaining(['ray', 'container', 'docker-run']),
    );
    const zsh = `autoload -Uz compinit && compinit -u -D && echo "\${_comps[${agent}]}"`;
    expect(await machine.shell(`zsh -fc '${zsh}'`)).toBe('_relight-agent\n');
  });
});

/** The collector has it in its list with this version. */
async function connectedAs(version: string): Promise<void> {
  const theirs = await theFleet();
  const is = async (): Promise<boolean> => {
    const known = await theirs.host(host);
    return known?.state === 'connected' && known.agentVersion === version;
  };
  await waitFor(is, { what: `${host} to be connected with version ${version}`, timeoutMs: 90_000, everyMs: 200 });
}

/** What is written now is stored. */
async function newLines(theirs: FleetClient): Promise<void> {
  const since = new Date().toISOString();
  const some = async (): Promise<boolean> => (await theirs.logs({ ...filter, since, limit: 1 })).length > 0;
  await waitFor(some, { what: 'lines of now to be stored', timeoutMs: 90_000, everyMs: 200 });
}

describe('while it writes 500 lines a second, nothing that happens to the agent happens to the workload', () => {
  let before: string;
  beforeAll(async () => {
    before = await life();
  });

  test('kill -9: systemd starts it again', async () => {
    const pid = await agentPid();
    await machine.shell(`kill -9 ${pid}`);
    await backAfter(pid);
    expect(await life()).toBe(before);
  });

  test('it hangs: the watchdog brings it back; an engine that hangs is no reason', async () => {
    // Shorter than the unit's, for a shorter test: a look every ten seconds is still enough.
    for (const unit of [agent, collector])
      await machine.write(`/run/systemd/system/${unit}.service.d/short.conf`, '[Service]\nWatchdogSec=30\n');
    await machine.shell(`systemctl daemon-reload && systemctl restart ${agent} ${collector}`);
    const [pid, theirs] = [await agentPid(), await collectorPid()];
    await machine.shell('kill -STOP $(pidof dockerd)');
    try {
      await machine.waitForUnit(agent, 'StatusText', /the engine does not answer/);
      await longerThan(40_000);
      // Neither of them for that, and neither while it does its work.
      expect([await agentPid(), await collectorPid()]).toEqual([pid, theirs]);
    } finally {
      await machine.shell('kill -CONT $(pidof dockerd)');
    }
    await machine.waitForUnit(agent, 'StatusText', 'supervising 1 workload(s): 1 ready');
    await machine.shell(`kill -STOP ${pid}`);
    await backAfter(pid);
    expect(await machine.journal(agent)).toMatch(/Watchdog timeout/);
    expect(await life()).toBe(before);
  });

  test('the collector is away for longer than the watchdog waits', async () => {
    const pid = await agentPid();
    await machine.shell(`systemctl stop ${collector}`);
    await longerThan(40_000);
    expect(await agentPid()).toBe(pid);
    await machine.shell(`systemctl start ${collector}`);
    await (await theFleet()).waitForHost(host, 'connected');
    expect(await life()).toBe(before);
  });

  test('the collector hangs: its watchdog brings it back', async () => {
    const pid = await collectorPid();
    await machine.shell(`kill -STOP ${pid}`);
    await machine.waitForUnit(collector, 'MainPID', new RegExp(`^(?!${pid}$|0$)`), 120_000);
    await machine.waitForUnit(collector, 'StatusText', /^listening on https:.*; 1 host\(s\): 1 connected$/, 120_000);
    expect(await machine.journal(collector)).toMatch(/Watchdog timeout/);
    expect(await life()).toBe(before);
  });

  test('systemctl reload: a good file is applied; a bad one is refused, said in status, and what was read before goes on', async () => {
    const theirs = await theFleet();
    const pid = await agentPid();
    const changed = configuration.replace('stop_timeout: 1s}', 'stop_timeout: 2s}');
    const reloaded = async (text: string): Promise<void> => {
      await machine.write('/etc/relight/agent.yaml', text);
      await machine.shell(`systemctl reload ${agent}`);
    };
    const configLine = async (): Promise<string> => /^config .*$/m.exec(await machine.shell('relight-agent status'))?.[0] ?? '';
    await reloaded(changed);
    await theirs.waitForEvent(
      { host, kind: 'host.notice' },
      ({ message }) => message.includes('process.stop_timeout'),
      'the change to be told',
    );
    expect(await configLine()).not.toContain('REFUSED');
    await reloaded(changed.replace('workloads:', 'worklods:'));
    await waitFor(async () => (await configLine()).includes('REFUSED'), {
      what: 'status to say that the file is refused',
      timeoutMs: 30_000,
    });
    expect(await configLine()).toMatch(/agent\.yaml:\d+.*worklods.*workloads/);
    // Every user of the host may read it: where, and not what stands there.
    const refused =
      /^supervising 1 workload\(s\): 1 ready; its configuration is refused \(relight-agent status\): \/etc\/relight\/agent\.yaml:\d+:\d+: \w+: is not valid$/;
    await machine.waitForUnit(agent, 'StatusText', refused);
    await reloaded(changed);
    await waitFor(async () => !(await configLine()).includes('REFUSED'), { what: 'status to say nothing more of it', timeoutMs: 30_000 });
    expect(await agentPid()).toBe(pid);
    expect(await life()).toBe(before);
  });

  test('what a host command has left running lives on when the agent is stopped and started', async () => {
    const daemon = await machine.shell("pgrep -f '^sleep 987654'");
    const pid = await agentPid();
    await machine.shell(`systemctl restart ${agent}`);
    await backAfter(pid);
    expect(await machine.shell("pgrep -f '^sleep 987654'")).toBe(daemon);
    expect(await life()).toBe(before);
  });

  test('its log has the priorities of the journal', async () => {
    const levelsOf = (priority: string): Promise<string> =>
      machine.shell(
        `journalctl --sync; journalctl -u ${agent} -p ${priority}..${priority} -o cat --no-pager | grep -o '^{"level":"[a-z]*"' | sort -u`,
      );
    expect(await levelsOf('info')).toBe('{"level":"info"\n');
    expect(await levelsOf('warning')).toBe('{"level":"warn"\n');
    expect(await life()).toBe(before);
  });

  test('upgrade across a minor version, the agent first: it works with the older collector until that follows', async () => {
    const theirs = await theFleet();
    const pid = await agentPid();
    await machine.shell(`dpkg -i /packages/later/${agent}_*.deb`);
    await backAfter(pid);
    expect(await versions()).toEqual([laterVersion, ownVersion]);
    await connectedAs(laterVersion);
    await newLines(theirs);
    await machine.shell(`dpkg -i /packages/later/${collector}_*.deb`);
    expect(await versions()).toEqual([laterVersion, laterVersion]);
    // A person's own line stays, and no new comment of ours is ever a question.
    expect(await machine.shell(`dpkg-query -W -f '\${Conffiles}' ${agent} ${collector}`)).toBe('');
    expect(await machine.unit(collector, 'StatusText')).toMatch(/^listening on https:\/\/0\.0\.0\.0:7460/);
    await connectedAs(laterVersion);
    await newLines(theirs);
    expect(await life()).toBe(before);
  });

  test('the collector first: the older agent works with the newer collector', async () => {
    // As if the later unit were another one: the older package's file is older, too.
    await machine.shell(`echo Environment=LATER=1 | sed -i '/^ExecStart=/r /dev/stdin' /usr/lib/systemd/system/${agent}.service`);
    await machine.shell(`systemctl daemon-reload && systemctl restart ${agent}`);
    expect(await machine.unit(agent, 'Environment')).toContain('LATER=1');
    const pid = await agentPid();
    await machine.shell(`dpkg -i /packages/${agent}_*.deb`);
    await backAfter(pid);
    expect(await machine.unit(agent, 'Environment')).not.toContain('LATER=1');
    expect(await versions()).toEqual([ownVersion, laterVersion]);
    await connectedAs(ownVersion);
    await newLines(await theFleet());
    expect(await life()).toBe(before);
  });

  test('a changed unit is not made known to systemd where that takes GPUs from containers, and a person is told', async () => {
    // As if the installed unit had been an older one: systemd goes by the date of the file.
    await machine.shell(`touch -d 2020-01-01 /usr/lib/systemd/system/${agent}.service && systemctl daemon-reload`);
    await machine.shell('mknod /dev/nvidiactl c 1 3; systemd-run --scope --unit=docker-0123.scope -- sleep 600 >/dev/null 2>&1 & sleep 0');
    await machine.waitForUnit('docker-0123.scope', 'ActiveState', 'active');
    const countReloads = (): Promise<string> =>
      machine.shell('journalctl --sync; journalctl --no-pager -o cat -t systemd | grep -c "Reloading" || true');
    const reloads = await countReloads();
    const said = await machine.shell(`dpkg -i /packages/later/${agent}_*.deb 2>&1`);
    expect(said).toMatch(/systemd has NOT been told[^]*can take the GPUs/);
    expect(await countReloads()).toBe(reloads);
    await machine.shell('rm /dev/nvidiactl; systemctl stop docker-0123.scope');
    expect(await life()).toBe(before);
  });

  test('no line is lost or stored twice', async () => {
    const theirs = await theFleet();
    await machine.shell(`docker exec ${workload} touch /stop`);
    const lines = await waitForEnd(theirs, filter);
    const judged = judge(await readAllPages(theirs, filter));
    expect(judged).toMatchObject({ lines, gaps: [], wrong: [] });
    expect(lines).toBeGreaterThan(10_000);
  });
});

describe('a container whose lines go to the journal', () => {
  const name = 'journalled';
  const theirs = { host, workload: name, source: 'container', limit: 10_000 };
  const container = `{name: ${name}, image: "worker:latest", pull_policy: never, network_mode: none, init: true, command: [sleep, infinity], logging: {driver: journald}}`;
  let before: string;

  /** The first process hands on what it is given, as its own output. */
  const say = (script: string): Promise<string> => machine.shell(`docker exec ${name} sh -c '(${script}) > /proc/1/fd/1 2> /proc/1/fd/2'`);
  const numbered = (from: number, to: number, generation = 1): readonly string[] =>
    Array.from({ length: to - from + 1 }, (_, index) => `${generation} stdout line ${from + index}`);
  const said = async (): Promise<readonly string[]> =>
    (await (await theFleet()).logs(theirs)).map((entry) => ('line' in entry ? `${entry.generation} ${entry.stream} ${entry.line}` : 'gap'));
  const expectLines = async (lines: readonly string[]): Promise<void> => {
    let difference: string | null = null;
    const alike = async (): Promise<boolean> => (difference = lineDifference(await said(), lines)) === null;
    await waitFor(alike, { what: 'the lines', timeoutMs: 90_000, everyMs: 500 }).catch(async (error: unknown) => {
      // Whatever prints this may cut it off: what counts comes first.
      const log = (await machine.journal(agent)).slice(-4_000);
      throw new Error(`${difference}; ${await whatTheJournalHas(lines)}; the agent's last words:\n${log}`, { cause: error });
    });
  };
  /** Of lines that are not stored: were they lost before the agent could read them, or after? */
  const whatTheJournalHas = async (lines: readonly string[]): Promise<string> => {
    // Long ones are left out: the journal has them in parts, and what a command may say has an end.
    const texts = (all: readonly string[]): readonly string[] =>
      all.map((line) => line.replace(/^\d+ \w+ /, '')).filter(({ length }) => length < 1_000);
    const stored = texts(await said());
    const { stdout } = await machine.tries(
      `journalctl --sync; journalctl -q CONTAINER_NAME=${name} -o cat --no-pager | grep -v '.\\{1000\\}'`,
    );
    const unread = without(stdout.trimEnd().split('\n'), stored);
    const missing = without(texts(lines), stored);
    return `of ${missing.length} short lines that are missing, ${missing.length - without(missing, unread).length} are in the journal`;
  };

  beforeAll(async () => {
    before = await machine.shell('cat /etc/relight/agent.yaml');
    await machine.write('/etc/relight/agent.yaml', `${before}  - name: ${name}\n    container: ${container}\n`);
    await (await theFleet()).waitForPhase(host, name, 'ready');
  });
  afterAll(async () => {
    await machine.write('/etc/relight/agent.yaml', before);
    await machine.waitForUnit(agent, 'StatusText', 'supervising 1 workload(s): 1 ready');
    await machine.shell(`docker rm -f ${name}`);
  });

  test('each line once and in order, long ones whole, whatever happens to agent and container', async () => {
    await say('seq 1 500 | sed "s/^/line /"');
    await expectLines(numbered(1, 500));
    // The engine reads each stream by itself: the order among them is that of the journal.
    await say('echo error >&2');
    await expectLines([...numbered(1, 500), '1 stderr error']);
    await say('head -c 40000 /dev/zero | tr "\\0" x; echo');
    const long = `1 stdout ${'x'.repeat(40_000)}`;
    let lines = [...numbered(1, 500), '1 stderr error', long];
    await expectLines(lines);

    const pid = await agentPid();
    await machine.shell(`systemctl kill -s STOP ${agent}`);
    await say('seq 501 1500 | sed "s/^/line /"');
    await machine.shell(`kill -9 ${pid}`);
    await say('seq 1501 2000 | sed "s/^/line /"');
    await machine.waitForUnit(agent, 'MainPID', new RegExp(`^(?!${pid}$|0$)`), 120_000);
    lines = [...lines, ...numbered(501, 2_000)];
    await expectLines(lines);

    // Its last words, with no newline behind them, while nobody looks.
    const again = await agentPid();
    await machine.shell(`systemctl stop ${agent}`);
    await say('seq 2001 2100 | sed "s/^/line /"; printf "no newline"');
    await machine.shell(`docker kill ${name}; systemctl start ${agent}`);
    expect(await agentPid()).not.toBe(again);
    lines = [...lines, ...numbered(2_001, 2_100), '1 stdout no newline'];
    await expectLines(lines);
    await machine.waitForUnit(agent, 'StatusText', 'supervising 2 workload(s): 2 ready');
    await say('seq 1 100 | sed "s/^/line /"');
    lines = [...lines, ...numbered(1, 100, 2)];
    await expectLines(lines);

    // While it is followed.
    await say('seq 101 1100 | sed "s/^/line /"');
    await machine.shell(`docker kill ${name}`);
    lines = [...lines, ...numbered(101, 1_100, 2)];
    await expectLines(lines);
    await (
      await theFleet()
    ).waitForEvent({ host, workload: name, kind: 'workload.ready' }, ({ generation }) => generation === 3, 'the third');
    await say('echo line 1');
    await expectLines([...lines, ...numbered(1, 1, 3)]);
  });

  test('what journald takes up only when the container is over and the next one is ready', async () => {
    const lines = await said();
    const generation = (await (await theFleet()).workload(host, name))?.generation ?? 0;
    await machine.shell('kill -STOP $(pidof systemd-journald)');
    try {
      // Few enough for its socket.
      await say('seq 1 5 | sed "s/^/line /"');
      await machine.shell(`docker kill ${name}`);
      const next = { host, workload: name, kind: 'workload.ready' };
      await (await theFleet()).waitForEvent(next, (event) => event.generation === generation + 1, 'the next one');
      expect(await said()).toEqual(lines);
    } finally {
      await machine.shell('kill -CONT $(pidof systemd-journald)');
    }
    await expectLines([...lines, ...numbered(1, 5, generation)]);
  });
});

test('a reboot: the host comes back under another boot id, and its workload with it', async () => {
  const theirs = await theFleet();
  const { bootId } = (await theirs.host(host)) ?? {};
  await machine.reboot();
  fleet = null;
  const again = await theFleet();
  // What the collector knows of the time before says nothing.
  await machine.waitForUnit(agent, 'StatusText', 'supervising 1 workload(s): 1 ready', 120_000);
  await again.waitForHost(host, 'connected');
  expect((await again.host(host))?.bootId).not.toBe(bootId);
  expect(await machine.shell("ps -eo args | grep -c '[r]elight-run'")).not.toBe('0\n');
});

describe('taken away', () => {
  test('removed: the agent is gone, the workload and all that is stored are not; installed again, it goes on', async () => {
    const before = await life();
    // As if the unit of the removed version were another one, and younger: systemd goes on having it.
    await machine.shell(`echo Environment=REMOVED=1 | sed -i '/^ExecStart=/r /dev/stdin' /usr/lib/systemd/system/${agent}.service`);
    await machine.shell('systemctl daemon-reload');
    expect(await machine.unit(agent, 'Environment')).toContain('REMOVED=1');
    await machine.shell(`dpkg -r ${agent}`);
    expect((await machine.tries('ls /usr/bin/relight-agent /usr/lib/relight-agent')).exitCode).not.toBe(0);
    expect((await machine.tries('pgrep -f relight-agent.mjs')).exitCode).toBe(1);
    expect(await machine.shell('ls /etc/relight /var/lib/relight')).toContain('identity.json');
    expect(await life()).toBe(before);
    await machine.shell(`dpkg -i /packages/later/${agent}_*.deb`);
    await backAfter('0');
    expect(await machine.unit(agent, 'UnitFileState')).toBe('enabled');
    expect(await machine.unit(agent, 'Environment')).not.toContain('REMOVED=1');
    expect(await machine.unit(agent, 'NeedDaemonReload')).toBe('no');
    expect(await life()).toBe(before);
  });

  test('purged: what is its own is gone, and nothing else', async () => {
    const before = await life();
    await machine.write('/etc/relight/notes', 'mine\n');
    await machine.write('/etc/relight/agent.token', 'rla_1\n', '600');
    // What is mounted there is somebody else's: said, and no reason to fail.
    await machine.shell('mkdir /var/lib/relight/disk && mount -t tmpfs none /var/lib/relight/disk && touch /var/lib/relight/disk/mine');
    // Nor what a link leads to, nor what is no directory of a workload, while others are kept.
    await machine.shell('mkdir -p /srv/mine && touch /srv/mine/file && cd /var/lib/relight/runs && ln -s /srv/mine link && touch file');
    const said = await machine.shell(`dpkg -P ${agent} 2>&1`);
    expect(said).toContain('docker ps --filter label=relight.agent');
    expect(said).toContain('/var/lib/relight could not be removed whole');
    // The files of what runs on stay where its container has them.
    const directory = /^ {2}(\/var\/lib\/relight\/runs\/counter\/\d+)$/m.exec(said)?.[1];
    expect(directory).toBeDefined();
    expect((await machine.shell(`find /var/lib/relight ! -type d ! -path '${directory}/*'`)).trim()).toBe('/var/lib/relight/disk/mine');
    expect(await machine.shell('ls /srv/mine')).toBe('file\n');
    const size = `stat -c %b ${directory}/*.process.log | sort -n | tail -n 1`;
    const written = Number(await machine.shell(size));
    await waitFor(async () => Number(await machine.shell(size)) > written, { what: 'the process to write on' });
    await machine.shell('umount /var/lib/relight/disk && rm -r /var/lib/relight/disk');
    expect(await life()).toBe(before);
    const left = await machine.shell(
      "find / -xdev -path /proc -prune -o -path /packages -prune -o -path /var/log -prune -o -name '*relight-agent*' -print",
    );
    expect(left).toBe('');
    expect((await machine.shell('ls /etc/relight')).trim().split('\n')).toEqual(['collector.yaml', 'notes', 'operator.yaml']);
    await machine.shell(`dpkg -P ${collector}`);
    expect((await machine.shell('ls -d /etc/relight/* /var/lib/relight* 2>/dev/null || true')).trim().split('\n')).toEqual([
      '/etc/relight/notes',
      '/var/lib/relight',
    ]);
    expect(await machine.shell("docker inspect -f '{{.State.Running}}' " + workload)).toBe('true\n');
  });

  test('installed again after that, it takes over what runs; purged with nothing running, nothing is left', async () => {
    const before = await life();
    await machine.write('/etc/relight/agent.yaml', configuration);
    await machine.shell(`dpkg -i /packages/later/${agent}_*.deb`);
    await backAfter('0');
    expect(await life()).toBe(before);
    await machine.shell(`systemctl stop ${agent} && docker ps -aq --filter label=relight.agent | xargs docker rm -f`);
    await machine.shell(`dpkg -P ${agent}`);
    expect((await machine.tries('ls -d /var/lib/relight')).exitCode).not.toBe(0);
  });
});
