/**
 * A whole machine in a container: Debian, systemd as its first process, an engine of its own, everything installed by dpkg as on any
 * other. It is rebooted by `systemctl reboot`; only the kernel's boot id, which no container can change, is put in place of the real one.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { DockerEngine } from '@relight/agent/engine/docker-engine';
import { errorMessage } from '@relight/shared/errors';
import { dockerApi, type DockerApi } from '../docker-api.ts';
import { ownedDirectory } from '../owned-directory.ts';
import { waitFor } from '../wait.ts';
import { rm } from 'node:fs/promises';

export interface MachineOptions {
  /** Of the engine that runs the machine. */
  readonly engineSocket: string;
  readonly image: string;
  readonly name: string;
  /** Found in the machine as /packages. */
  readonly packages: string;
}

export interface ShellResult {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number | null;
}

/** dpkg writes the whole of Node to a disk that others use, too. */
const commandMs = 180_000;

/** In a cgroup namespace of its own the second version is what systemd and engine of today live with. */
const init = [
  'mount -o remount,rw /sys',
  'mount -t cgroup2 none /sys/fs/cgroup',
  'cat /proc/sys/kernel/random/uuid > /run/boot-id',
  'mount --bind /run/boot-id /proc/sys/kernel/random/boot_id',
  'exec /sbin/init',
].join(' && ');

/** capability.h: those by number that a machine in a container can use. */
const named: Readonly<Record<number, string>> = {
  2: 'DAC_READ_SEARCH',
  9: 'LINUX_IMMUTABLE',
  12: 'NET_ADMIN',
  14: 'IPC_LOCK',
  15: 'IPC_OWNER',
  19: 'SYS_PTRACE',
  21: 'SYS_ADMIN',
  22: 'SYS_BOOT',
  23: 'SYS_NICE',
  24: 'SYS_RESOURCE',
  26: 'SYS_TTY_CONFIG',
  28: 'LEASE',
  30: 'AUDIT_CONTROL',
  34: 'SYSLOG',
  37: 'AUDIT_READ',
};

/** Of these, what this process may give on. */
function capabilities(): readonly string[] {
  const bounding = BigInt(`0x${/^CapBnd:\s+([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'}`);
  return Object.entries(named).flatMap(([number, name]) => ((bounding >> BigInt(number)) & 1n ? [name] : []));
}

export class Machine implements AsyncDisposable {
  readonly #docker: DockerApi;
  readonly #engine: DockerEngine;
  readonly #options: MachineOptions;
  readonly #name: string;
  readonly #directory = ownedDirectory('relight-machine-');

  private constructor(options: MachineOptions) {
    this.#options = options;
    this.#docker = dockerApi(options.engineSocket);
    this.#engine = new DockerEngine({ socketPath: options.engineSocket });
    this.#name = `machine-${options.name}-${process.pid}`;
  }

  /** Resolves when it has booted. */
  static async boot(options: MachineOptions): Promise<Machine> {
    const machine = new Machine(options);
    try {
      await machine.#create();
      await machine.#booted();
    } catch (error) {
      await machine[Symbol.asyncDispose]();
      throw error;
    }
    return machine;
  }

  async #create(): Promise<void> {
    const { image, packages } = this.#options;
    const storage = join(this.#directory, 'docker');
    mkdirSync(storage);
    await this.#docker.run(this.#name, image, ['/bin/sh', '-c', init], {
      Hostname: this.#options.name,
      Env: ['container=docker', 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
      HostConfig: {
        Init: false,
        // What makes a container privileged, one by one: the tests themselves may have fewer capabilities than there are.
        CapAdd: capabilities(),
        SecurityOpt: ['seccomp=unconfined', 'apparmor=unconfined'],
        MaskedPaths: [],
        ReadonlyPaths: [],
        DeviceCgroupRules: ['a *:* rwm'],
        CgroupnsMode: 'private',
        Tmpfs: { '/run': 'exec', '/run/lock': '', '/tmp': 'exec' },
        // Layers of an engine cannot lie in those of another one.
        Binds: [`${storage}:/var/lib/docker`, `${packages}:/packages:ro`],
      },
    });
  }

  /** What a person types there; fails where it fails. */
  async shell(command: string): Promise<string> {
    const { stdout, stderr, exitCode } = await this.tries(command);
    if (exitCode !== 0) throw new Error(`${command}: exit code ${exitCode}: ${stderr}${stdout}`);
    return stdout;
  }

  async tries(command: string): Promise<ShellResult> {
    return this.#engine.exec(this.#name, { argv: ['/bin/bash', '-c', command] }, { timeoutMs: commandMs });
  }

  /** On the engine of the machine: busybox alone. */
  async makeWorkerImage(name: string): Promise<void> {
    const script = [
      'mkdir -p /tmp/worker/bin /tmp/worker/tmp',
      'cp /bin/busybox /tmp/worker/bin',
      'for name in $(busybox --list | grep -vx busybox); do ln -sf busybox /tmp/worker/bin/$name; done',
      `tar -C /tmp/worker -c . | docker import --change 'ENV PATH=/bin' - ${name}`,
      'rm -r /tmp/worker',
    ];
    await this.shell(script.join(' && '));
  }

  async write(file: string, text: string, mode = '644'): Promise<void> {
    const encoded = Buffer.from(text).toString('base64');
    await this.shell(`install -D -m ${mode} /dev/stdin ${file} <<< "$(base64 -d <<< ${encoded})"`);
  }

  /** A property of a unit, as systemctl tells it. */
  async unit(name: string, property: string): Promise<string> {
    return (await this.shell(`systemctl show -P ${property} ${name}`)).trim();
  }

  async waitForUnit(name: string, property: string, wanted: string | RegExp, timeoutMs = 60_000): Promise<string> {
    let last = '';
    return waitFor(
      async () => {
        const now = await this.unit(name, property).catch((error: unknown) => new Error(errorMessage(error)));
        last = String(now);
        if (now instanceof Error) return false;
        return (typeof wanted === 'string' ? last === wanted : wanted.test(last)) && last;
      },
      { timeoutMs, everyMs: 200, what: `${property} of ${name} to be ${String(wanted)}` },
    ).catch(async (error: unknown) => {
      throw new Error(`last ${last}\n${await this.journal(name)}`, { cause: error });
    });
  }

  /** Its last lines, those that journald has not taken up by itself yet included. */
  async journal(unit: string): Promise<string> {
    return (await this.tries(`journalctl --sync; journalctl -u ${unit} -n 1000 --no-pager -o cat`)).stdout;
  }

  /** Where others reach it. */
  async address(): Promise<string> {
    const found = (await this.#docker.inspect(this.#name)) as {
      NetworkSettings?: { IPAddress?: string; Networks?: Record<string, { IPAddress?: string }> };
    } | null;
    const settings = found?.NetworkSettings;
    return settings?.IPAddress || (Object.values(settings?.Networks ?? {})[0]?.IPAddress ?? '');
  }

  /** `systemctl reboot`; resolves when it has booted again. */
  async reboot(): Promise<void> {
    // The command falls with the machine, so how it ends says nothing.
    await this.tries('systemctl reboot').catch(() => {});
    await waitFor(async () => ((await this.#state())['Running'] === false ? true : null), {
      what: 'the machine to be down after systemctl reboot',
      timeoutMs: 120_000,
    });
    await this.#docker.start(this.#name);
    await this.#booted();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#docker.remove(this.#name).catch(() => {});
    await rm(this.#directory, { recursive: true, force: true, maxRetries: 5 });
  }

  async #booted(): Promise<void> {
    let said = '';
    await waitFor(
      async () => {
        const state = await this.#state();
        if (state['Running'] !== true) throw new Error(`systemd ended: ${JSON.stringify(state)}`);
        // While systemd takes over the cgroups, nothing can be executed in them.
        said = await this.tries('systemctl is-system-running').then(({ stdout, stderr }) => stdout + stderr, errorMessage);
        return /^(?:running|degraded)/.test(said);
      },
      { what: `${basename(this.#directory)} to have booted`, timeoutMs: 120_000, everyMs: 200 },
    ).catch((error: unknown) => {
      throw new Error(`last ${said}`, { cause: error });
    });
  }

  async #state(): Promise<Record<string, unknown>> {
    return ((await this.#docker.inspect(this.#name))?.['State'] ?? {}) as Record<string, unknown>;
  }
}
