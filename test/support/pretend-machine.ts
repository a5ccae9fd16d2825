/**
 * A machine that can be rebooted without taking the tests along: what its kernel and systemd say about boot and shutdown stands
 * in files, and an agent in a mount namespace of its own finds them where the real ones are. Everything else is the real machine.
 */
import { randomUUID } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ServiceOptions } from './service.ts';

export class PretendMachine {
  readonly #bootId: string;
  readonly #shutdown: string;

  /** `directory`: of its own; it is made. */
  constructor(directory: string) {
    this.#bootId = join(directory, 'boot_id');
    this.#shutdown = join(directory, 'shutdown');
    mkdirSync(this.#shutdown, { recursive: true });
    this.boots();
  }

  /** Executes the agent on it. */
  get through(): NonNullable<ServiceOptions['through']> {
    const setUp = [
      'mount -t tmpfs run /run',
      'mkdir -p /run/systemd/shutdown',
      `mount --bind '${this.#shutdown}' /run/systemd/shutdown`,
      `mount --bind '${this.#bootId}' /proc/sys/kernel/random/boot_id`,
      'exec "$@"',
    ].join(' && ');
    return ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', setUp, 'sh'];
  }

  /** What logind writes for `shutdown -r`, due at this moment. */
  schedules(mode: 'reboot' | 'poweroff'): void {
    writeFileSync(join(this.#shutdown, 'scheduled'), `USEC=${Date.now()}000\nWARN_WALL=1\nMODE=${mode}\n`);
  }

  /** Up again, as another boot: with nothing in /run. */
  boots(): void {
    writeFileSync(this.#bootId, `${randomUUID()}\n`);
    rmSync(join(this.#shutdown, 'scheduled'), { force: true });
  }
}
