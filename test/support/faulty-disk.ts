import type { AppendFile, OutboxDisk } from '@relight/agent/outbox/disk';

interface StoredFile {
  data: Buffer;
  /** Bytes that survive a power loss. */
  synced: number;
}

/** A disk in memory that fills up, is written to by a process that is killed in the middle, and loses power. */
export class FaultyDisk implements OutboxDisk {
  readonly files = new Map<string, StoredFile>();
  full = false;
  /** Refuses every change, removals too. */
  readOnly = false;
  /** No file can be read: EIO of the disk, or no file descriptors left. */
  unreadable = false;
  /** The next append takes this many bytes, then the process is killed. */
  killAfterBytes: number | null = null;
  /** The process was killed in the middle of a write: nothing that it does any more reaches the disk. */
  dead = false;
  #syncs: (() => void)[] = [];

  completeSyncs(): void {
    while (this.#syncs.length > 0) for (const sync of this.#syncs.splice(0)) sync();
  }

  /** The process is gone: what it had asked for is not done any more. */
  kill(): void {
    this.#syncs = [];
    this.killAfterBytes = null;
    this.dead = false;
  }

  /** `keep` 0…1: how much of what was not synced survives; `zeros`: the lost part is there, but holds NUL bytes. */
  losePower(keep: number, zeros: boolean): void {
    this.kill();
    for (const file of this.files.values()) {
      const whole = file.synced + Math.floor((file.data.length - file.synced) * keep);
      const rest = zeros ? Buffer.alloc(file.data.length - whole) : Buffer.alloc(0);
      file.data = Buffer.concat([file.data.subarray(0, whole), rest]);
      file.synced = file.data.length;
    }
  }

  list(): string[] {
    return [...this.files.keys()].toSorted();
  }

  read(name: string): Buffer {
    if (this.unreadable) throw new Error('EIO: i/o error, read');
    const file = this.files.get(name);
    if (file === undefined) throw new Error(`ENOENT ${name}`);
    return Buffer.from(file.data);
  }

  open(name: string): AppendFile {
    const file = this.files.get(name) ?? { data: Buffer.alloc(0), synced: 0 };
    this.files.set(name, file);
    const sync = (): void => void (file.synced = file.data.length);
    return {
      append: (bytes) => this.#append(file, bytes),
      truncate: (size) => {
        this.#check();
        file.data = file.data.subarray(0, size);
        file.synced = Math.min(file.synced, size);
      },
      sync: (done) =>
        void this.#syncs.push(() => {
          sync();
          done(null);
        }),
      syncNow: sync,
      close: () => undefined,
    };
  }

  replace(name: string, bytes: Uint8Array): void {
    this.#check();
    if (this.full) throw new Error('ENOSPC: no space left on device');
    this.files.set(name, { data: Buffer.from(bytes), synced: bytes.length });
  }

  replaceLazily(name: string, bytes: Uint8Array): void {
    this.replace(name, bytes);
  }

  remove(name: string): void {
    this.#check();
    this.files.delete(name);
  }

  syncDirectory(): void {
    // Names are durable at once here.
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
    if (this.readOnly) throw new Error('EROFS: read-only file system');
  }
}
