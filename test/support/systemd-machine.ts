/**
 * A machine with the real systemd as its first process, logind and D-Bus, in a container of a test's engine: it runs an agent as its
 * service, by the unit that users install, and is rebooted and switched off as any machine. It has this machine's programs
 * (/usr, read only) and its network.
 */
import { chmodSync, cpSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { DockerEngine } from '@relight/agent/engine/docker-engine';
import { dockerApi, type DockerApi } from './docker-api.ts';
import { ensurePrograms, findProgram } from './engine-install.ts';
import { programs, type Lab, type LabAgent } from './lab.ts';
import { waitFor } from './wait.ts';

const unit = join(import.meta.dirname, '../../packages/agent/systemd/relight-agent.service');
/** Nothing of this machine's own services is started there. */
const target = `[Unit]
Description=what this machine is for
Wants=relight-agent.service dbus.service systemd-logind.service
AllowIsolate=yes
`;
const home = '/opt/relight';

export interface SystemdMachineOptions {
  readonly lab: Lab;
  /** Not started: systemd does that. */
  readonly agent: LabAgent;
  readonly engineSocket: string;
  readonly image: string;
  /** How long `systemctl` takes before it begins, for the agent alone; default 0. */
  readonly systemctlTakesMs?: number;
}

export class SystemdMachine implements AsyncDisposable {
  readonly #docker: DockerApi;
  readonly #engine: DockerEngine;
  readonly #name: string;

  private constructor({ lab, agent, engineSocket }: SystemdMachineOptions) {
    this.#docker = dockerApi(engineSocket);
    this.#engine = lab.engine;
    this.#name = `systemd-${agent.host}-${process.pid}`;
  }

  /** Resolves when it has booted; the agent may still be on its way. */
  static async boot(options: SystemdMachineOptions): Promise<SystemdMachine> {
    const { lab, agent, engineSocket, image, systemctlTakesMs = 0 } = options;
    await ensurePrograms(['systemctl', 'shutdown', 'dbus-daemon']);
    const machine = new SystemdMachine(options);
    const units = join(dirname(agent.configFile), 'units');
    writeUnits(units, agent, systemctlTakesMs);
    const own = ['/usr', '/bin', '/sbin', '/lib', '/lib64', '/etc/passwd', '/etc/group'].filter((path) => existsSync(path));
    // In a cgroup namespace of its own, the second version is what every systemd of today can live with.
    const init = `mount -t cgroup2 none /sys/fs/cgroup && exec ${systemd()}`;
    await machine.#docker.run(machine.#name, image, ['/bin/sh', '-c', init], {
      Env: ['container=docker', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', `SYSTEMD_UNIT_PATH=${units}:/usr/lib/systemd/system`],
      HostConfig: {
        Init: false,
        NetworkMode: 'host',
        CgroupnsMode: 'private',
        CapAdd: ['SYS_ADMIN', 'SYS_BOOT'],
        SecurityOpt: ['seccomp=unconfined', 'apparmor=unconfined'],
        Tmpfs: { '/run': '' },
        Binds: [
          ...own.map((path) => `${path}:${path}:ro`),
          `${process.execPath}:${home}/node:ro`,
          `${dirname(programs.agent)}:${home}/dist:ro`,
          `${dirname(engineSocket)}:${dirname(engineSocket)}`,
          `${lab.directory}:${lab.directory}`,
        ],
      },
    });
    await machine.#booted();
    return machine;
  }

  /** What a person types there. */
  async shell(...argv: readonly string[]): Promise<string> {
    const { stdout, stderr, exitCode } = await this.#engine.exec(this.#name, { argv });
    if (exitCode !== 0) throw new Error(`${argv.join(' ')}: exit code ${exitCode}: ${stderr}`);
    return stdout;
  }

  /** `systemctl reboot` or `systemctl poweroff`; resolves when it is down. */
  async goesDown(how: 'reboot' | 'poweroff'): Promise<void> {
    // The command falls with the machine, so how it ends says nothing.
    await this.#engine.exec(this.#name, { argv: ['systemctl', how] }).catch(() => {});
    await waitFor(async () => ((await this.#state())['Running'] === false ? true : null), {
      what: `the machine to be down after systemctl ${how}`,
      timeoutMs: 60_000,
    });
  }

  /** Power is cut: nothing is said any more. */
  cutPower(): Promise<void> {
    return this.#docker.kill(this.#name);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#docker.remove(this.#name);
  }

  async #booted(): Promise<void> {
    await waitFor(
      async () => {
        const state = await this.#state();
        if (state['Running'] !== true) throw new Error(`systemd ended: ${JSON.stringify(state)}`);
        const { stdout } = await this.#engine.exec(this.#name, { argv: ['systemctl', 'is-system-running'] });
        return /^(?:running|degraded)/.test(stdout);
      },
      { what: 'systemd to have booted', timeoutMs: 60_000, everyMs: 100 },
    );
  }

  async #state(): Promise<Record<string, unknown>> {
    return ((await this.#docker.inspect(this.#name))?.['State'] ?? {}) as Record<string, unknown>;
  }
}

function writeUnits(directory: string, { configFile }: LabAgent, systemctlTakesMs: number): void {
  mkdirSync(join(directory, 'relight-agent.service.d'), { recursive: true });
  writeFileSync(join(directory, 'default.target'), target);
  cpSync(unit, join(directory, 'relight-agent.service'));
  const settings = [
    '[Unit]',
    // The configuration lies where the lab has it.
    'ConditionPathExists=',
    '[Service]',
    'ExecStart=',
    `ExecStart=${home}/node ${home}/dist/relight-agent.mjs run --config ${configFile}`,
    // The right to lower it is not every container's.
    'OOMScoreAdjust=0',
    `Environment=PATH=${slowSystemctl(directory, systemctlTakesMs)}:/usr/sbin:/usr/bin:/sbin:/bin`,
  ];
  writeFileSync(join(directory, 'relight-agent.service.d/machine.conf'), `${settings.join('\n')}\n`);
}

/** The directory of one that is as slow as on a machine with nearly nothing of a processor. */
function slowSystemctl(units: string, takesMs: number): string {
  const directory = join(units, 'bin');
  mkdirSync(directory);
  const file = join(directory, 'systemctl');
  writeFileSync(file, `#!/bin/sh\nsleep ${takesMs / 1_000}\nexec ${findProgram('systemctl') ?? '/usr/bin/systemctl'} "$@"\n`);
  chmodSync(file, 0o755);
  return directory;
}

const systemd = (): string => findProgram('systemd') ?? '/lib/systemd/systemd';
