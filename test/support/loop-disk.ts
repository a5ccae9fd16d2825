/** A disk of its own: ext4 on a loop device, mounted. What the kernel does with a broken disk, it does with this one. */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { parseMountinfo, topMountAt } from '@relight/agent/stages/proc';
import { ensurePrograms } from './engine-install.ts';
import { waitFor } from './wait.ts';

/** Written block by block when a disk is filled up; what is more is only allocated. */
const writtenBytes = 1024 ** 2;
const blockBytes = 4_096;

export class LoopDisk {
  readonly mountPoint: string;
  readonly #image: string;
  #device = '';

  /** `image`: its file, which is made, and takes as much room as what is written on the disk. */
  static async mount(image: string, mountPoint: string, megabytes = 64): Promise<LoopDisk> {
    await ensurePrograms(['mkfs.ext4', 'e2fsck', 'mount']);
    return new LoopDisk(image, mountPoint, megabytes);
  }

  private constructor(image: string, mountPoint: string, megabytes: number) {
    this.mountPoint = mountPoint;
    this.#image = image;
    const file = openSync(image, 'w');
    ftruncateSync(file, megabytes * 1024 ** 2);
    closeSync(file);
    execFileSync('mkfs.ext4', ['-q', image]);
    mkdirSync(mountPoint, { recursive: true });
    this.#mount();
  }

  /** As the kernel log calls it; another one after a repair. */
  get device(): string {
    return this.#device;
  }

  /** By hand; the kernel has no opinion on it. */
  remount(how: 'ro' | 'rw'): void {
    execFileSync('mount', ['-o', `remount,${how}`, this.mountPoint]);
  }

  /** The kernel finds an error on it, and makes it read-only. */
  breaks(): void {
    writeFileSync(`/sys/fs/ext4/${this.#device}/trigger_fs_error`, 'an error for a test');
  }

  /** With a file of somebody else, to the last block, also those that are kept for root; again where room has come meanwhile. */
  fill(): void {
    const file = openSync(this.#ballast, 'a');
    try {
      const { bfree, bsize } = statfsSync(this.mountPoint);
      const more = bfree * bsize - writtenBytes;
      // As far as it goes: others write meanwhile.
      if (more > 0) spawnSync('fallocate', ['--length', String(fstatSync(file).size + more), this.#ballast]);
      while (takesBlock(file));
    } finally {
      closeSync(file);
    }
  }

  free(): void {
    rmSync(this.#ballast, { force: true });
  }

  get #ballast(): string {
    return join(this.mountPoint, 'ballast');
  }

  /** What a person does then; nobody may have it open. */
  async repair(): Promise<void> {
    await this.takeOut();
    try {
      execFileSync('e2fsck', ['-fy', this.#image], { stdio: 'ignore' });
    } catch (error) {
      // 1: there were errors, and they are corrected.
      if ((error as { readonly status?: number }).status !== 1) throw error;
    }
    this.#mount();
  }

  /** Resolves when nobody has it any more: mount namespaces that were made meanwhile do, for as long as they live. */
  async takeOut(): Promise<void> {
    this.unmount();
    const device = this.#device;
    await waitFor(() => !existsSync(`/sys/fs/ext4/${device}`), { what: `the kernel to let go of ${device}`, timeoutMs: 60_000 });
  }

  /** Its device goes when the last one lets go of it. */
  unmount(): void {
    execFileSync('umount', ['-l', this.mountPoint]);
  }

  #mount(): void {
    execFileSync('mount', ['-t', 'ext4', '-o', 'loop,errors=remount-ro', this.#image, this.mountPoint]);
    const mounted = topMountAt(parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8')), this.mountPoint);
    this.#device = basename(mounted?.source ?? '');
  }
}

/** False: there is no room for it. */
function takesBlock(file: number): boolean {
  try {
    return writeSync(file, Buffer.alloc(blockBytes)) === blockBytes;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return false;
    throw error;
  }
}
