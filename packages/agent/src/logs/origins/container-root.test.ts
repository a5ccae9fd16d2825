/** Against real directories, links, FIFOs and devices; only /proc/PID is made up, because the root of a process is. */
import { execFileSync, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { segmentKeySchema } from '@relight/shared/log-stream';
import { ContainerRoot, type FoundFile, type Listings } from './container-root.ts';
import { parsePathPattern } from './path-pattern.ts';

const id = 'c'.repeat(64);
const pid = 4711;
let directory: string;
let root: string;
let procRoot: string;
const listings: Listings = new Map();

beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), 'container-root-'));
  root = join(directory, 'root');
  procRoot = join(directory, 'proc');
  fs.mkdirSync(join(root, 'logs'), { recursive: true });
  fs.mkdirSync(join(procRoot, String(pid)), { recursive: true });
  fs.symlinkSync(root, join(procRoot, String(pid), 'root'));
  fs.writeFileSync(join(procRoot, String(pid), 'cgroup'), `0::/docker/${id}\n`);
  describeMounts();
  fs.writeFileSync(join(directory, 'secret'), "the host's\n");
  listings.clear();
});

afterEach(() => {
  fs.rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
});

function describeMounts(type = 'overlay', ...more: string[]): void {
  const fd = fs.openSync(root, fs.constants.O_RDONLY);
  const mount = /mnt_id:\s*(\d+)/.exec(fs.readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1];
  fs.closeSync(fd);
  const lines = [`${mount} 1 0:1 / / rw - ${type} x rw`, ...more];
  fs.writeFileSync(join(procRoot, String(pid), 'mountinfo'), `${lines.join('\n')}\n`);
}

interface Look {
  readonly files: Readonly<Record<string, string>>;
  readonly troubles: readonly string[];
}

function look(text: string, { now = Date.now(), onFound = (): boolean => true } = {}): Look {
  const opened = ContainerRoot.open(procRoot, pid, id);
  if (opened === null) throw new Error('no container');
  const files: Record<string, string> = {};
  const pattern = parsePathPattern(text);
  if (typeof pattern === 'string') throw new Error(pattern);
  const before = openDescriptors();
  opened.find(pattern, listings, now, ({ descriptor, name }: FoundFile) => {
    files[name] = fs.readFileSync(`/proc/self/fd/${descriptor}`, 'utf8');
    fs.closeSync(descriptor);
    return onFound();
  });
  expect(openDescriptors()).toBe(before);
  opened.close();
  return { files, troubles: [...opened.troubles] };
}

const openDescriptors = (): number => fs.readdirSync('/proc/self/fd').length;
const write = (path: string, text = path): void => {
  fs.mkdirSync(join(root, path, '..'), { recursive: true });
  fs.writeFileSync(join(root, path), text);
};
const link = (target: string, path: string): void => fs.symlinkSync(target, join(root, path));

describe('what is found', () => {
  it('files by name, whatever else lies there', () => {
    write('logs/raylet.out');
    write('logs/raylet.err');
    write('logs/gcs.out');
    fs.mkdirSync(join(root, 'logs/raylet.directory'));
    expect(look('/logs/raylet.*').files).toEqual({ 'raylet.out': 'logs/raylet.out', 'raylet.err': 'logs/raylet.err' });
  });

  it('behind links of the container, absolute and relative, as Ray lays them', () => {
    write('tmp/ray/session_1/logs/raylet.out', 'one');
    link('/tmp/ray/session_1', 'tmp/ray/session_latest');
    expect(look('/tmp/ray/session_latest/logs/raylet.*').files).toEqual({ 'raylet.out': 'one' });
    fs.rmSync(join(root, 'tmp/ray/session_latest'));
    write('tmp/ray/session_2/logs/raylet.out', 'two');
    link('./session_2', 'tmp/ray/session_latest');
    expect(look('/tmp/ray/session_latest/logs/raylet.*').files).toEqual({ 'raylet.out': 'two' });
  });

  it('levels of directories stand in the name', () => {
    write('nodes/a/out', 'of a');
    write('nodes/b/out', 'of b');
    expect(look('/nodes/*/out').files).toEqual({ 'a/out': 'of a', 'b/out': 'of b' });
  });

  it('nothing where there is nothing', () => {
    expect(look('/nowhere/*/x')).toEqual({ files: {}, troubles: [] });
  });
});

describe('a directory that has not changed', () => {
  /** A change is one of its time, which a kernel may count in steps of some milliseconds: what has just been written can have the same. */
  const changedAt = (at: number): void => fs.utimesSync(join(root, 'logs'), at / 1_000, at / 1_000);

  it('is not gone through again, but for its links; a change is seen', () => {
    write('logs/a.log');
    write('other', 'behind a link');
    link('/other', 'logs/b.log');
    changedAt(Date.now() - 60_000);
    expect(Object.keys(look('/logs/*.log').files)).toEqual(expect.arrayContaining(['a.log', 'b.log']));
    expect(look('/logs/*.log').files).toEqual({ 'b.log': 'behind a link' });
    write('logs/c.log');
    expect(Object.keys(look('/logs/*.log').files)).toHaveLength(3);
  });

  it('is gone through again while its time may hide a change, and when a look was ended early', () => {
    write('logs/a.log');
    write('logs/b.log');
    const now = Date.now();
    changedAt(now);
    expect(Object.keys(look('/logs/*.log', { now }).files)).toHaveLength(2);
    expect(Object.keys(look('/logs/*.log', { now }).files)).toHaveLength(2);
    const later = now + 60_000;
    expect(Object.keys(look('/logs/*.log', { now: later, onFound: () => false }).files)).toHaveLength(1);
    expect(Object.keys(look('/logs/*.log', { now: later }).files)).toHaveLength(2);
  });
});

describe('a hostile container', () => {
  it.each([
    ['an absolute link', () => '/secret'],
    ['a relative link with many ..', () => `${'../'.repeat(50)}secret`],
    ["the host's own path", () => join(directory, 'secret')],
    ['one .. above the root', () => '../../secret'],
  ])('reaches nothing of the host by %s', (_, target) => {
    link(target(), 'logs/raylet.out');
    expect(look('/logs/raylet.*').files).toEqual({});
    write('secret', "the container's");
    const { files } = look('/logs/raylet.*');
    expect(Object.values(files)).not.toContain("the host's\n");
  });

  it('a directory that is a link out of the root is the container’s own', () => {
    fs.mkdirSync(join(directory, 'host-logs'));
    fs.writeFileSync(join(directory, 'host-logs/raylet.out'), "the host's");
    fs.rmdirSync(join(root, 'logs'));
    link('../host-logs', 'logs');
    expect(look('/logs/raylet.*').files).toEqual({});
    write('host-logs/raylet.out', "the container's");
    expect(look('/logs/raylet.*').files).toEqual({ 'raylet.out': "the container's" });
  });

  it('links that lead in circles, and long chains of them, end', () => {
    link('b', 'logs/a');
    link('a', 'logs/b');
    link('.', 'logs/self');
    link('/logs/self/self/self/deep', 'logs/deep');
    expect(look('/logs/*').files).toEqual({});
    expect(look('/logs/self/self/self/*').files).toEqual({});
    expect(look(`/${'logs/self/'.repeat(1)}${'self/'.repeat(80)}*`).files).toEqual({});
  });

  it('a FIFO, a device and a socket are not opened', () => {
    execFileSync('mkfifo', [join(root, 'logs/fifo')]);
    if (process.getuid?.() === 0) execFileSync('mknod', [join(root, 'logs/device'), 'c', '1', '5']);
    write('logs/file', 'content');
    expect(look('/logs/*').files).toEqual({ file: 'content' });
  });

  it('a file that is swapped for a link between two looks is not followed out of the root', () => {
    write('logs/raylet.out', 'mine');
    for (let round = 0; round < 200; round += 1) {
      const path = join(root, 'logs/raylet.out');
      fs.rmSync(path);
      if (round % 2 === 0) fs.symlinkSync(join(directory, 'secret'), path);
      else fs.writeFileSync(path, 'mine');
      expect(Object.values(look('/logs/*').files)).toEqual(round % 2 === 0 ? [] : ['mine']);
    }
  });

  it('a directory that is swapped for a link while it is walked is not followed out of the root', () => {
    write('logs/deep/raylet.out', 'mine');
    fs.mkdirSync(join(directory, 'host/deep'), { recursive: true });
    fs.writeFileSync(join(directory, 'host/deep/raylet.out'), "the host's");
    const swap = `cd ${root}; i=0; while [ -e logs ] || [ -L logs ]; do mv -T logs aside && ln -s ${directory}/host logs; rm logs; mv -T aside logs; done`;
    const swapper = execShell(swap);
    try {
      const seen = new Set<string>();
      const until = Date.now() + 1_000;
      // At least until it was there once: on a busy machine it may be away for as long as this.
      while (Date.now() < until || (seen.size === 0 && Date.now() < until + 60_000))
        for (const text of Object.values(look('/logs/*/raylet.*').files)) seen.add(text);
      expect([...seen]).toEqual(['mine']);
    } finally {
      swapper();
    }
  });

  it('what lies on a file system that may hang is not touched, and it is told', () => {
    write('logs/raylet.out');
    describeMounts('overlay', '999999 1 0:52 / /logs rw - fuse.sshfs x rw');
    const { files, troubles } = look('/logs/raylet.*');
    expect(files).toEqual({});
    expect(troubles).toEqual(['/logs lies on a file system of type fuse.sshfs, which is never entered from the host']);
  });

  it('a root that may hang is not touched', () => {
    write('logs/raylet.out');
    describeMounts('fuse.fuse-overlayfs');
    expect(look('/logs/raylet.*')).toEqual({
      files: {},
      troubles: ["the container's own file system is fuse.fuse-overlayfs: not entered"],
    });
  });

  it('a pid that is somebody else’s by now is not its root', () => {
    fs.writeFileSync(join(procRoot, String(pid), 'cgroup'), '0::/system.slice/sshd.service\n');
    expect(ContainerRoot.open(procRoot, pid, id)).toBeNull();
    expect(ContainerRoot.open(procRoot, pid + 1, id)).toBeNull();
  });
});

function execShell(script: string): () => void {
  const child = spawn('sh', ['-c', script], { stdio: 'ignore' });
  return () => void child.kill('SIGKILL');
}

it('a name that no stream can have is made fit for one', () => {
  fs.writeFileSync(join(root, 'logs', 'two\nlines\u202e.log'), 'here\n');
  const deep = ['a', 'b', 'c'].map((letter) => letter.repeat(200));
  fs.mkdirSync(join(root, 'logs', ...deep), { recursive: true });
  fs.writeFileSync(join(root, 'logs', ...deep, 'd.log'), 'deep\n');
  const [flat, far] = [Object.entries(look('/logs/*.log').files), Object.entries(look('/logs/*/*/*/*.log').files)];
  expect(flat).toEqual([['two\ufffdlines\ufffd.log', 'here\n']]);
  expect(far.map(([name, text]) => [name.length, name.slice(-8), text])).toEqual([[256, 'cc/d.log', 'deep\n']]);
  for (const [name] of [...flat, ...far]) {
    expect(segmentKeySchema.safeParse({ workload: 'w', generation: 0, source: `file:${name}`, run: 'r' }).success).toBe(true);
  }
});
