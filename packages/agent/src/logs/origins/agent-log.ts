/**
 * The agent's own log as a stream of the host: what is printed is written to a file in the state directory as well, which is
 * shipped like the output of any run. Trouble with shipping is told in the log that is shipped; so that this never feeds
 * itself, only a certain number of lines is taken, and what goes wrong here is told to nobody.
 */
import * as fs from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '@relight/shared/clock';
import { hostLogs, type SegmentKey } from '@relight/shared/log-stream';
import type { LogShipper } from '../log-shipper.ts';

export interface AgentLogPlace {
  /** For these files alone. */
  readonly directory: string;
  readonly shipper: LogShipper;
  readonly clock: Clock;
}

/** At once, and from then on. An honest hour has some hundred. */
const burstLines = 1_000;
const linesPerSecond = 5;
const fileBytesMax = 4 * 1024 * 1024;
/** Before there is a place for it. */
const waitingBytesMax = 256 * 1024;

interface OpenFile {
  readonly key: SegmentKey;
  readonly fd: number;
  bytes: number;
}

export class AgentLog {
  #place: AgentLogPlace | null = null;
  #waiting: string[] | null = [];
  #waitingBytes = 0;
  #file: OpenFile | null = null;
  #room = burstLines;
  #roomAt = 0;
  #leftOut = 0;

  /** What an earlier agent has left is sent first. Never throws: without its file the log is only printed. */
  open(place: AgentLogPlace): void {
    this.#place = place;
    this.#roomAt = place.clock.monotonic();
    try {
      fs.mkdirSync(place.directory, { recursive: true, mode: 0o700 });
      for (const name of fs.readdirSync(place.directory)) {
        if (!name.endsWith('.log')) continue;
        const key = keyOf(name.slice(0, -'.log'.length));
        place.shipper.follow({ key, path: join(place.directory, name), format: 'raw' });
        place.shipper.finish(key);
      }
    } catch {
      // The next file is tried all the same.
    }
    const waiting = this.#waiting ?? [];
    this.#waiting = null;
    for (const line of waiting) this.write(line);
  }

  /** Nobody is there who would be sent it. */
  discard(): void {
    this.#waiting = null;
  }

  /** One line with its newline. Never throws. */
  write(line: string): void {
    if (this.#waiting !== null) {
      this.#waitingBytes += line.length;
      if (this.#waitingBytes <= waitingBytesMax) this.#waiting.push(line);
      return;
    }
    if (this.#place === null) return;
    if (!this.#admits(this.#place.clock)) {
      this.#leftOut += 1;
      return;
    }
    if (this.#leftOut > 0) {
      const time = new Date(this.#place.clock.now()).toISOString();
      const msg = `${this.#leftOut} lines of the agent's own log were left out here: more than ${linesPerSecond} a second`;
      this.#leftOut = 0;
      this.#append(this.#place, `${JSON.stringify({ level: 'warn', time, msg })}\n`);
    }
    this.#append(this.#place, line);
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
    const file = { key: keyOf(run), fd, bytes: 0 };
    this.#file = file;
    shipper.follow({ key: file.key, path, format: 'raw' });
    return file;
  }

  #end({ shipper }: AgentLogPlace, file: OpenFile): void {
    if (this.#file !== file) return;
    this.#file = null;
    fs.closeSync(file.fd);
    shipper.finish(file.key);
  }
}

const keyOf = (run: string): SegmentKey => ({ workload: hostLogs, generation: 0, source: 'agent', run });
