/** The few file operations that the outbox needs, as a port: tests put a disk beneath it that fills up and loses power. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { replaceFileDurably, temporarySuffix } from '../host/atomic-file.ts';

export interface AppendFile {
  /** One write(2). Returns the number of bytes taken, which is less than asked on a full disk; throws an errno error. */
  append(bytes: Uint8Array): number;
  truncate(size: number): void;
  /** Durable when `done` is called without an error. */
  sync(done: (error: Error | null) => void): void;
  syncNow(): void;
  close(): void;
}

export interface OutboxDisk {
  /** Names of all files, sorted. */
  list(): string[];
  read(name: string): Buffer;
  /** Opens for appending, creating the file when it is missing. */
  open(name: string): AppendFile;
  /** Content and name are durable on return. When it throws, the file holds the old content or the new one, whole. */
  replace(name: string, bytes: Uint8Array): void;
  /** In place, which a full disk takes as well once the file is there. For content of one length within one sector. */
  overwrite(name: string, bytes: Uint8Array): void;
  /** Removing what is not there succeeds. */
  remove(name: string): void;
}

/** The directory is made with the first look into it, and not again: one that is deleted under the agent is somebody else's business. */
export function directoryDisk(directory: string): OutboxDisk {
  const path = (name: string): string => join(directory, name);
  let made = false;
  return {
    list: () => {
      if (!made) fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
      made = true;
      return fs
        .readdirSync(directory)
        .filter((name) => !name.endsWith(temporarySuffix))
        .toSorted();
    },
    read: (name) => fs.readFileSync(path(name)),
    open: (name) => openAppendFile(path(name)),
    replace: (name, bytes) => replaceFileDurably(path(name), bytes),
    overwrite: (name, bytes) => overwriteFile(path(name), bytes),
    remove: (name) => fs.rmSync(path(name), { force: true }),
  };
}

function openAppendFile(path: string): AppendFile {
  const { O_APPEND, O_CREAT, O_WRONLY, O_NOFOLLOW } = fs.constants;
  const fd = fs.openSync(path, O_APPEND | O_CREAT | O_WRONLY | O_NOFOLLOW, 0o600);
  return {
    append: (bytes) => fs.writeSync(fd, bytes),
    truncate: (size) => fs.ftruncateSync(fd, size),
    sync: (done) => fs.fsync(fd, done),
    syncNow: () => fs.fsyncSync(fd),
    close: () => fs.closeSync(fd),
  };
}

function overwriteFile(path: string, bytes: Uint8Array): void {
  const { O_CREAT, O_WRONLY, O_NOFOLLOW } = fs.constants;
  const fd = fs.openSync(path, O_CREAT | O_WRONLY | O_NOFOLLOW, 0o600);
  try {
    fs.writeSync(fd, bytes, 0, bytes.length, 0);
  } finally {
    fs.closeSync(fd);
  }
}
