/** A FUSE mount of the host: bindfs, which is killed, stopped and mounted again, as people do. Needs root. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ensurePrograms } from './engine-install.ts';
import { waitFor } from './wait.ts';

export class HostFuse {
  readonly mountPoint: string;
  readonly #source: string;
  readonly #daemons: ChildProcess[] = [];

  /** A directory with one file, mounted at `NAME` below `directory`. */
  static async mount(directory: string, name: string): Promise<HostFuse> {
    await ensurePrograms(['bindfs']);
    const fuse = new HostFuse(directory, name);
    await fuse.mountAgain();
    return fuse;
  }

  private constructor(directory: string, name: string) {
    this.mountPoint = join(directory, name);
    this.#source = join(directory, `${name}-source`);
    mkdirSync(this.mountPoint, { recursive: true });
    mkdirSync(this.#source, { recursive: true });
    writeFileSync(join(this.#source, 'file'), 'content\n');
  }

  /** What people do then. */
  async mountAgain(): Promise<void> {
    this.#daemons.push(spawn('bindfs', ['-f', this.#source, this.mountPoint], { stdio: 'ignore' }));
    await waitFor(() => this.#isMounted(), { what: `bindfs at ${this.mountPoint}` });
  }

  unmount(): void {
    execFileSync('umount', ['-l', this.mountPoint]);
  }

  async kill(): Promise<void> {
    const daemon = this.#daemons.at(-1);
    if (daemon?.exitCode !== null || daemon.signalCode !== null) return;
    daemon.kill('SIGKILL');
    await once(daemon, 'exit');
  }

  stop(): void {
    this.#daemons.at(-1)?.kill('SIGSTOP');
  }

  /** A daemon that has nothing mounted any more, stopped ones too, ends by being killed. */
  dispose(): void {
    if (this.#isMounted()) this.unmount();
    for (const daemon of this.#daemons) daemon.kill('SIGKILL');
  }

  #isMounted(): boolean {
    const points = readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .map((line) => line.split(' ')[4]);
    return points.includes(this.mountPoint);
  }
}
