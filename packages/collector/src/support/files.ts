/** The disk of the data directory, and every file in it: names, sizes and whose they are, never what is in them. */
import { isoTime } from '@relight/shared/api';
import { lstatSync, readFileSync, readdirSync, realpathSync, statfsSync } from 'node:fs';
import { join, relative } from 'node:path';
import { logDirectory, listLogFiles } from '../store/logs/file-names.ts';
import { jsonPiece, told, type PartRecord } from './part.ts';

/** Two weeks of logs are some hundred. */
const filesMax = 5_000;

export function* filePieces(dataDir: string): Generator<PartRecord> {
  yield jsonPiece('disk.json', () => diskFacts(dataDir));
  yield jsonPiece('files.json', () => fileFacts(dataDir));
}

function diskFacts(dataDir: string): unknown {
  const { bsize, blocks, bfree, bavail, files, ffree } = statfsSync(dataDir);
  return {
    directory: dataDir,
    sizeBytes: blocks * bsize,
    freeBytes: bavail * bsize,
    freeForRootBytes: bfree * bsize,
    inodes: files,
    inodesFree: ffree,
    mount: told(() => mountOf(realpathSync(dataDir), readFileSync('/proc/self/mountinfo', 'utf8'))),
  };
}

/** proc(5), mountinfo: `36 35 98:0 /root /mount/point rw,noatime … - ext4 /dev/sda1 rw`. The last of the longest counts. */
export function mountOf(path: string, mountinfo: string): unknown {
  const mounts = mountinfo
    .split('\n')
    .filter((line) => line.includes(' - '))
    .map((line) => {
      const [left = '', right = ''] = line.split(' - ');
      const [, , , , point = '', options = ''] = left.split(' ');
      const [type = '', source = '', ofFileSystem = ''] = right.split(' ');
      const at = point.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
      return { at, type, source, options: `${options},${ofFileSystem}` };
    });
  const around = mounts.filter(({ at }) => at === '/' || path === at || path.startsWith(`${at}/`));
  return around.reduce<(typeof around)[number] | null>((best, one) => (one.at.length >= (best?.at.length ?? 0) ? one : best), null);
}

function fileFacts(dataDir: string): unknown {
  const entries = readdirSync(dataDir, { recursive: true, withFileTypes: true });
  const days = [...new Set(listLogFiles(logDirectory(dataDir)).map(({ day }) => day))].toSorted();
  const files = entries.slice(0, filesMax).map((entry) => {
    const path = join(entry.parentPath, entry.name);
    const facts = told(() => oneFile(path));
    return { file: relative(dataDir, path), ...(typeof facts === 'string' ? { facts } : facts) };
  });
  return {
    directory: told(() => oneFile(dataDir)),
    days: { count: days.length, first: days.at(0) ?? null, last: days.at(-1) ?? null },
    copiesBeforeMigrations: files.map(({ file }) => file).filter((file) => /\.before-\d+(?:\.unfinished)?$/.test(file)),
    filesLeftOut: Math.max(0, entries.length - filesMax),
    files: files.toSorted((a, b) => (a.file < b.file ? -1 : 1)),
  };
}

function oneFile(path: string): object {
  const { size, blocks, mode, uid, gid, mtimeMs } = lstatSync(path);
  return {
    bytes: size,
    bytesOnDisk: blocks * 512,
    // With the type: 100600 is a file, 40700 a directory, 120777 a link.
    mode: mode.toString(8),
    owner: `${uid}:${gid}`,
    modifiedAt: isoTime(mtimeMs),
  };
}
