/** A disk of its own: ext4 on a loop device, mounted. What the kernel does with a broken disk, it does with this one. */
import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, ftruncateSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { ensurePrograms } from './engine-install.ts';
import { waitFor } from './wait.ts';

export class LoopDisk {
  readonly mountPoint: string;
  readonly #device: string;

  /** `image`: its file, which is made. */
  static async mount(image: string, mountPoint: string): Promise<LoopDisk> {
    await ensurePrograms(['mkfs.ext4', 'e2fsck', 'losetup', 'mount']);
    return new LoopDisk(image, mountPoint);
  }

  private constructor(image: string, mountPoint: string) {
    this.mountPoint = mountPoint;
    const file = openSync(image, 'w');
    ftruncateSync(file, 64 << 20);
    closeSync(file);
    execFileSync('mkfs.ext4', ['-q', image]);
    mkdirSync(mountPoint, { recursive: true });
    this.#device = execFileSync('losetup', ['--find', '--show', image], { encoding: 'utf8' }).trim();
    this.#mount();
  }

  /** As the kernel log calls it. */
  get device(): string {
    return basename(this.#device);
  }

  /** By hand; the kernel has no opinion on it. */
  remount(how: 'ro' | 'rw'): void {
    execFileSync('mount', ['-o', `remount,${how}`, this.mountPoint]);
  }

  /** The kernel finds an error on it, and makes it read-only. */
  breaks(): void {
    writeFileSync(`/sys/fs/ext4/${this.device}/trigger_fs_error`, 'an error for a test');
  }

  /** What a person does then. */
  async repair(): Promise<void> {
    execFileSync('umount', [this.mountPoint]);
    await this.#letGo();
    try {
      execFileSync('e2fsck', ['-fy', this.#device], { stdio: 'ignore' });
    } catch (error) {
      // 1: there were errors, and they are corrected.
      if ((error as { readonly status?: number }).status !== 1) throw error;
    }
    this.#mount();
  }

  /** It is taken out; nobody may have it open. */
  async takeOut(): Promise<void> {
    this.unmount();
    await this.#letGo();
  }

  /** Its device goes when the last one lets go of it. */
  unmount(): void {
    execFileSync('umount', ['-l', this.mountPoint]);
    execFileSync('losetup', ['--detach', this.#device]);
  }

  /** Other mount namespaces that were made meanwhile have it, too, for as long as they live. */
  async #letGo(): Promise<void> {
    await waitFor(() => !existsSync(`/sys/fs/ext4/${this.device}`), { what: 'the kernel to let go of the disk', timeoutMs: 60_000 });
  }

  #mount(): void {
    execFileSync('mount', ['-t', 'ext4', '-o', 'errors=remount-ro', this.#device, this.mountPoint]);
  }
}
