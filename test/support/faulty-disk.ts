import type { AppendFile, OutboxDisk } from '@relight/agent/outbox/disk';

interface StoredFile {
  data: Buffer;
  /** Bytes that survive a power loss. */
  synced: number;
}

/**
 * `die`: the process is killed instead of it. `fail-once`: EIO, that once. `fail-on`: EIO, and whatever comes after it as well.
 * `no-fsync`: from there on every fsync fails, and nothing else does.
 */
export interface DiskFault {
  /** Counted from 0 since `arm`. */
  readonly step: number;
  readonly kind: 'die' | 'fail-once' | 'fail-on' | 'no-fsync';
  /** The process is killed instead of this one, whatever went wrong before. */
  readonly dieAt?: number;
}

const failure = (code: string, text: string): Error => Object.assign(new Error(`${code}: ${text}`), { code });

function hits({ kind, step, dieAt }: DiskFault, now: number, what: string): boolean {
  if (now === dieAt) return true;
  if (kind === 'no-fsync') return now >= step && what.startsWith('fsync');
  return now === step || (kind === 'fail-on' && now > step);
}

/** A disk in memory that fills up, fails, is written to by a process that is killed in the middle, and loses power. */
export class FaultyDisk implements OutboxDisk {
  files = new Map<string, StoredFile>();
  full = false;
  /** Refuses every change, removals too. */
  readOnly = false;
  /** As ext4 is after errors: refuses every change, and fsync fails, too. */
  aborted = false;
  /** No file can be read: EIO of the disk, or no file descriptors left. */
  unreadable = false;
  /** These files cannot be read: EIO of a bad block. */
  readonly badFiles = new Set<string>();
  /** How often somebody tried to read a file. */
  reads = 0;
  /** The next append takes this many bytes, then the process is killed. */
  killAfterBytes: number | null = null;
  /** The process was killed in the middle of a write: nothing that it does any more reaches the disk. */
  dead = false;
  /** System calls since `arm`, each by what it was for. */
  steps: string[] = [];
  #fault: DiskFault | null = null;
  /** Names as a power loss leaves them. */
  #names = new Map<string, StoredFile>();
  #syncs: (() => void)[] = [];

  /** From now on system calls are counted, and one of them goes wrong. */
  arm(fault: DiskFault | null): void {
    this.steps = [];
    this.#fault = fault;
  }

  completeSyncs(): void {
    while (this.#syncs.length > 0) for (const sync of this.#syncs.splice(0)) sync();
  }

  /** The process is gone: what it had asked for is not done any more. */
  kill(): void {
    this.#syncs = [];
    this.killAfterBytes = null;
    this.dead = false;
  }

  /**
   * `keep` 0…1: how much of what was not synced survives; `zeros`: the lost part is there, but holds NUL bytes. `names`: whether files
   * are called what they were called last, or what they were when their directory was synced.
   */
  losePower(keep: number, zeros: boolean, names: 'last' | 'synced' = 'last'): void {
    this.kill();
    if (names === 'synced') this.files = new Map(this.#names);
    for (const file of this.files.values()) {
      const whole = file.synced + Math.floor((file.data.length - file.synced) * keep);
      const rest = zeros ? Buffer.alloc(file.data.length - whole) : Buffer.alloc(0);
      file.data = Buffer.concat([file.data.subarray(0, whole), rest]);
      file.synced = file.data.length;
    }
    this.#names = new Map(this.files);
  }

  list(): string[] {
    return this.#step('list', () => [...this.files.keys()].toSorted());
  }

  read(name: string): Buffer {
    this.reads += 1;
    return this.#step(`read ${name}`, () => {
      if (this.unreadable || this.badFiles.has(name)) throw failure('EIO', 'i/o error, read');
      const file = this.files.get(name);
      if (file === undefined) throw failure('ENOENT', name);
      return Buffer.from(file.data);
    });
  }

  open(name: string): AppendFile {
    const file = this.#step(`open ${name}`, () => {
      const opened = this.files.get(name) ?? { data: Buffer.alloc(0), synced: 0 };
      this.files.set(name, opened);
      return opened;
    });
    const sync = (): void =>
      this.#step(`fsync ${name}`, () => {
        if (this.aborted) this.#check();
        file.synced = file.data.length;
      });
    return {
      append: (bytes) => this.#step(`append ${name}`, () => this.#append(file, bytes)),
      truncate: (size) =>
        this.#step(`truncate ${name}`, () => {
          this.#check();
          file.data = file.data.subarray(0, size);
          file.synced = Math.min(file.synced, size);
        }),
      sync: (done) =>
        void this.#syncs.push(() => {
          try {
            sync();
          } catch (error) {
            done(error as Error);
            return;
          }
          done(null);
        }),
      syncNow: sync,
      close: () => undefined,
    };
  }

  replace(name: string, bytes: Uint8Array): void {
    const file = { data: Buffer.from(bytes), synced: bytes.length };
    this.#step(`write ${name}.new`, () => {
      this.#check();
      if (this.full) throw failure('ENOSPC', 'no space left on device');
    });
    this.#step(`fsync ${name}.new`, () => undefined);
    this.#step(`rename ${name}.new`, () => void this.files.set(name, file));
    this.#step('fsync directory', () => void (this.#names = new Map(this.files)));
  }

  overwrite(name: string, bytes: Uint8Array): void {
    this.#step(`overwrite ${name}`, () => {
      this.#check();
      const old = this.files.get(name);
      if (this.full && (old?.data.length ?? 0) < bytes.length) throw failure('ENOSPC', 'no space left on device');
      const data = Buffer.concat([bytes, (old?.data ?? Buffer.alloc(0)).subarray(bytes.length)]);
      // Within one sector: after a power loss it is the old one or the new one. Which of the two depends on nothing that was promised.
      this.files.set(name, { data, synced: data.length });
    });
  }

  remove(name: string): void {
    this.#step(`remove ${name}`, () => {
      this.#check();
      this.files.delete(name);
    });
  }

  #step<T>(what: string, effect: () => T): T {
    if (this.dead) throw new Error('the process is gone');
    const step = this.steps.push(what) - 1;
    const fault = this.#fault;
    if (fault !== null && hits(fault, step, what)) {
      this.dead = fault.kind === 'die' || step === fault.dieAt;
      throw this.dead ? new Error('the process is gone') : failure('EIO', `i/o error, ${what}`);
    }
    return effect();
  }

  #append(file: StoredFile, bytes: Uint8Array): number {
    this.#check();
    const taken =
      this.killAfterBytes === null
        ? this.full
          ? Math.min(7, bytes.length)
          : bytes.length
        : Math.min(this.killAfterBytes, bytes.length - 1);
    file.data = Buffer.concat([file.data, bytes.subarray(0, taken)]);
    this.dead = this.killAfterBytes !== null;
    this.#check();
    return taken;
  }

  #check(): void {
    if (this.dead) throw new Error('the process is gone');
    if (this.readOnly || this.aborted) throw failure('EROFS', 'read-only file system');
  }
}
