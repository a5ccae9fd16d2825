/** Against real files; only /proc/PID is made up, because the root of a process is. */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SegmentKey } from '@relight/shared/log-stream';
import { ManualClock } from '@relight/shared/manual-clock';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { ContainerFacts } from '../../engine/engine.ts';
import type { SegmentFile } from '../log-shipper.ts';
import { ContainerFiles } from './container-files.ts';

const id = 'c'.repeat(64);
const pid = 4711;
/** Time that passes in the middle of a look. */
class SlowClock extends ManualClock {
  spent = 0;
  override monotonic(): number {
    return super.monotonic() + this.spent;
  }
}

let directory: string;
let logs: string;
let clock: SlowClock;
let files: ContainerFiles;
let followMs: number;
let changes: number;
/** In the order in which they were followed; `following` are those that are now. */
let followed: string[];
let following: Set<string>;

beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), 'container-files-'));
  logs = join(directory, 'root/logs');
  const process = join(directory, 'proc', String(pid));
  fs.mkdirSync(logs, { recursive: true });
  fs.mkdirSync(process, { recursive: true });
  fs.symlinkSync(join(directory, 'root'), join(process, 'root'));
  fs.writeFileSync(join(process, 'cgroup'), `0::/docker/${id}\n`);
  const fd = fs.openSync(logs, fs.constants.O_RDONLY);
  const mount = /mnt_id:\s*(\d+)/.exec(fs.readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1];
  fs.closeSync(fd);
  fs.writeFileSync(join(process, 'mountinfo'), `${mount} 1 0:1 / / rw - overlay x rw\n`);
  clock = new SlowClock(Date.now() + 60_000);
  changes = 0;
  [followed, following] = [[], new Set()];
  followMs = 0;
  const shipper = {
    follow: ({ key }: SegmentFile) => {
      clock.spent += followMs;
      followed.push(key.source);
      following.add(key.source);
    },
    finish: ({ source }: SegmentKey) => void following.delete(source),
  };
  files = new ContainerFiles({
    shipper,
    clock,
    emit: () => undefined,
    logger: { warn: () => undefined },
    patternsOf: () => ['/logs/*.log'],
    directory,
    procRoot: join(directory, 'proc'),
  });
});
afterEach(() => {
  files.close();
  fs.rmSync(directory, { recursive: true, force: true });
});

/**
 * Nothing has changed of late, and no two changes at the same moment: by the time of the directory they are told apart, which a kernel
 * may count in steps of some milliseconds.
 */
function put(name: string, text: string): void {
  fs.writeFileSync(join(logs, name), text);
  const at = Date.now() / 1_000 - 60 + (changes += 1) / 100;
  fs.utimesSync(logs, at, at);
}

const see = (): void =>
  files.seen({ id, pid, status: 'running', name: 'w', labels: { 'relight.workload': 'w' } } as unknown as ContainerFacts);

it('of more files than can be held, all are read in the end, and one that goes on later is read again', () => {
  const names = Array.from({ length: 1_100 }, (_, index) => `worker-${String(index).padStart(4, '0')}.log`);
  for (const name of names) put(name, 'line\n');
  see();
  for (let round = 0; round < 5; round += 1) clock.advance(31_000);
  expect(followed.toSorted()).toEqual(names.map((name) => `file:${name}`));
  expect(following.size).toBeLessThanOrEqual(256);
  const before = followed.length;
  clock.advance(31_000);
  expect(followed).toHaveLength(before);
  const first = (followed[0] as string).slice('file:'.length);
  fs.appendFileSync(join(logs, first), 'again\n');
  // Something comes or goes where files come and go all the time.
  put('worker-new.log', 'new\n');
  clock.advance(2_000);
  expect(followed.slice(before).toSorted()).toEqual([`file:${first}`, 'file:worker-new.log'].toSorted());
  expect(following.has(`file:${first}`)).toBe(true);
});

it('a look that takes long is followed by a long rest', () => {
  see();
  followMs = 500;
  put('a.log', 'line\n');
  clock.advance(1_000);
  expect(followed).toEqual(['file:a.log']);
  followMs = 0;
  put('b.log', 'line\n');
  clock.advance(9_900);
  expect(followed).toEqual(['file:a.log']);
  clock.advance(200);
  expect(followed).toEqual(['file:a.log', 'file:b.log']);
  put('c.log', 'line\n');
  clock.advance(1_100);
  expect(followed).toEqual(['file:a.log', 'file:b.log', 'file:c.log']);
});

it('a deleted file is read on for ten seconds from its deletion and from what was last written to it, however long it was quiet before', () => {
  const path = join(logs, 'a.log');
  fs.writeFileSync(path, 'line\n');
  const writer = fs.openSync(path, 'a');
  see();
  clock.advance(600_000);
  fs.rmSync(path);
  clock.advance(9_000);
  expect([...following]).toEqual(['file:a.log']);
  fs.writeSync(writer, 'last words\n');
  fs.closeSync(writer);
  clock.advance(9_000);
  expect([...following]).toEqual(['file:a.log']);
  clock.advance(3_000);
  expect([...following]).toEqual([]);
});
