/**
 * The agent's own log as a stream of the host: what is printed is written to a file in the state directory as well, which is
 * shipped like the output of any run. Trouble with shipping is told in the log that is shipped; so that this never feeds
 * itself, only a certain number of lines is taken, and what goes wrong here is told to nobody.
 */
import * as fs from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '@relight/shared/clock';
import { hostLogs, type SegmentKey } from '@relight/shared/log-stream';
import { Ring } from '../../control/support/recent.ts';
import type { FollowingShipper } from '../following-shipper.ts';
import type { LogShipper } from '../log-shipper.ts';

export interface AgentLogPlace {
  /** For these files alone. */
  readonly directory: string;
  readonly shipper: LogShipper & Pick<FollowingShipper, 'giveUp'>;
  readonly clock: Clock;
}

/** At once, and from then on. An honest hour has some hundred. */
const burstLines = 1_000;
const linesPerSecond = 5;
const fileBytesMax = 4 * 1024 * 1024;
/** Of files that are not sent yet, in all; the oldest go. An agent that is started again and again begins one each time. */
const keptBytesMax = 32 * 1024 * 1024;
const keptFilesMax = 64;
/** Of those that have gone: how much each of them was, for the next agent. */
const gonesMax = 256;
/** Lines that are left out are told of at once, in case the agent does not live to count them; not more often than this. */
const noticeMs = 60_000;
/** Before there is a place for it. */
const waitingBytesMax = 256 * 1024;
/** Kept in memory. */
const recentLines = 1_000;

interface EndedFile {
  readonly key: SegmentKey;
  readonly path: string;
}

interface OpenFile extends EndedFile {
  readonly fd: number;
  bytes: number;
}

export class AgentLog {
  #place: AgentLogPlace | null = null;
  /** Also while there is no collector. */
  readonly recent = new Ring<string>(recentLines, recentLines * 256, (line) => line.length);
  #waiting: string[] | null = [];
  #waitingBytes = 0;
  #file: OpenFile | null = null;
  /** Oldest first. Whoever has sent one removes it. */
  #ended: EndedFile[] = [];
  /** Oldest first: nothing but holes, as large as what was given up. */
  #gone: EndedFile[] = [];
  #room = burstLines;
  #roomAt = 0;
  #leftOut = 0;
  #noticeAt = -Infinity;

  /** What an earlier agent has left is sent first. Never throws: without its file the log is only printed. */
  open(place: AgentLogPlace): void {
    this.#place = place;
    this.#roomAt = place.clock.monotonic();
    try {
      fs.mkdirSync(place.directory, { recursive: true, mode: 0o700 });
      for (const name of fs.readdirSync(place.directory).toSorted()) {
        if (!name.endsWith('.log')) continue;
        const file = { key: keyOf(name.slice(0, -'.log'.length)), path: join(place.directory, name) };
        place.shipper.follow({ ...file, format: 'raw' });
        place.shipper.finish(file.key);
        (isGone(file.path) ? this.#gone : this.#ended).push(file);
      }
    } catch {
      // The next file is tried all the same.
    }
    const waiting = this.#waiting ?? [];
    this.#waiting = null;
    const leftOut = this.#leftOut;
    this.#leftOut = 0;
    for (const line of waiting) this.write(line);
    // They came behind those that were kept.
    this.#leftOut += leftOut;
  }

  /** The end of the agent: what is counted is written down. Never throws. */
  close(): void {
    if (this.#place !== null) this.#count(this.#place);
  }

  /** Nobody is there who would be sent it. */
  discard(): void {
    this.#waiting = null;
  }

  /** One line with its newline. Never throws. */
  write(line: string): void {
    this.recent.add(line);
    if (this.#waiting !== null) {
      this.#waitingBytes += line.length;
      if (this.#waitingBytes <= waitingBytesMax) this.#waiting.push(line);
      else this.#leftOut += 1;
      return;
    }
    if (this.#place === null) return;
    if (!this.#admits(this.#place.clock)) {
      this.#leftOut += 1;
      this.#notice(this.#place);
      return;
    }
    this.#count(this.#place);
    this.#append(this.#place, line);
  }

  #notice(place: AgentLogPlace): void {
    const now = place.clock.monotonic();
    if (now - this.#noticeAt >= noticeMs)
      this.#say(place, `lines of the agent's own log are left out: more than ${linesPerSecond} a second`);
    this.#noticeAt = now;
  }

  #count(place: AgentLogPlace): void {
    const leftOut = this.#leftOut;
    if (leftOut === 0) return;
    this.#leftOut = 0;
    this.#say(place, `${leftOut} lines of the agent's own log were left out here: there were too many at once`);
  }

  #say(place: AgentLogPlace, msg: string): void {
    this.#append(place, `${JSON.stringify({ level: 'warn', time: new Date(place.clock.now()).toISOString(), msg })}\n`);
  }

  #admits(clock: Clock): boolean {
    const now = clock.monotonic();
    this.#room = Math.min(burstLines, this.#room + ((now - this.#roomAt) / 1_000) * linesPerSecond);
    this.#roomAt = now;
    if (this.#room < 1) return false;
    this.#room -= 1;
    return true;
  }

  #append(place: AgentLogPlace, line: string): void {
    try {
      const file = this.#file ?? this.#begin(place);
      const bytes = Buffer.from(line);
      // A part of a line, from a full disk, ends here.
      if (fs.writeSync(file.fd, bytes) < bytes.length) this.#end(place, file);
      file.bytes += bytes.length;
      if (file.bytes >= fileBytesMax) this.#end(place, file);
    } catch {
      if (this.#file !== null) this.#end(place, this.#file);
    }
  }

  #begin({ directory, shipper, clock }: AgentLogPlace): OpenFile {
    const run = `${clock.now()}-${process.pid}`;
    const path = join(directory, `${run}.log`);
    const fd = fs.openSync(path, fs.constants.O_WRONLY | fs.constants.O_APPEND | fs.constants.O_CREAT | fs.constants.O_EXCL, 0o600);
    const file = { key: keyOf(run), path, fd, bytes: 0 };
    this.#file = file;
    shipper.follow({ key: file.key, path, format: 'raw' });
    this.#makeRoom(shipper);
    return file;
  }

  /**
   * While nobody takes what is written: the oldest goes, and a counted gap takes its place. A hole of its size stays until that gap has
   * arrived, or else the next agent would not know of it.
   */
  #makeRoom(shipper: AgentLogPlace['shipper']): void {
    const sizes = new Map<EndedFile, number>();
    for (const file of this.#ended) {
      const stats = fs.statSync(file.path, { throwIfNoEntry: false });
      if (stats !== undefined) sizes.set(file, stats.size);
    }
    this.#ended = [...sizes.keys()];
    let bytes = fileBytesMax + [...sizes.values()].reduce((sum, size) => sum + size, 0);
    while (this.#ended.length > 0 && (bytes > keptBytesMax || this.#ended.length >= keptFilesMax)) {
      const oldest = this.#ended.shift() as EndedFile;
      bytes -= sizes.get(oldest) ?? 0;
      shipper.giveUp(oldest.key);
      makeHole(oldest.path, sizes.get(oldest) ?? 0);
      this.#gone.push(oldest);
    }
    for (const { path } of this.#gone.splice(0, this.#gone.length - gonesMax)) fs.rmSync(path, { force: true });
  }

  #end({ shipper }: AgentLogPlace, file: OpenFile): void {
    if (this.#file !== file) return;
    this.#file = null;
    fs.closeSync(file.fd);
    shipper.finish(file.key);
    this.#ended.push(file);
  }
}

function makeHole(path: string, size: number): void {
  fs.truncateSync(path, 0);
  fs.truncateSync(path, size);
  // Where the file system has no holes it would be as large as before.
  if (!isGone(path)) fs.rmSync(path, { force: true });
}

function isGone(path: string): boolean {
  const { blocks, size } = fs.statSync(path);
  return blocks === 0 && size > 0;
}

const keyOf = (run: string): SegmentKey => ({ workload: hostLogs, generation: 0, source: 'agent', run });
