/**
 * Containers whose log driver keeps no file that we could read: followed through the engine's logs API, as long as they run, and
 * to the end when they are dead. A driver that the engine cannot read either is told once, with what to do about it.
 */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { delay, type Timer } from '@relight/shared/clock';
import { errorMessage, toRelightError } from '@relight/shared/errors';
import { segmentId, type SegmentKey } from '@relight/shared/log-stream';
import type { ContainerFacts, Engine } from '../../engine/engine.ts';
import type { LogShipper } from '../log-shipper.ts';
import { ApiSpool, removeSpool } from './api-spool.ts';
import { EngineLines, type Entry } from './engine-lines.ts';
import { type JournalOptions, settled } from './journal-sync.ts';

export interface ApiLogsOptions extends JournalOptions {
  readonly engine: Required<Pick<Engine, 'logs'>>;
  readonly shipper: LogShipper & { segments(): readonly SegmentKey[] };
  readonly unreadable: (facts: ContainerFacts) => void;
  /** For the spools: `WORKLOAD/GENERATION/RUN-json.log`. */
  readonly directory: string;
  readonly bootId: string;
}

interface Reading {
  facts: ContainerFacts;
  readonly stop: AbortController;
  over: boolean;
}

const syncMs = 1_000;
const pauseMs = 1_000;
const pauseMsMax = 30_000;
const suffix = '-json.log';

export class ApiLogs {
  readonly #options: ApiLogsOptions;
  /** By container. */
  readonly #readings = new Map<string, Reading>();
  readonly #unreadable = new Set<string>();
  readonly #spools = new Set<ApiSpool>();
  readonly #handedOver = new Set<string>();
  #closed = false;
  #timer: Timer | null = null;

  constructor(options: ApiLogsOptions) {
    this.#options = options;
  }

  seen(facts: ContainerFacts): void {
    if (this.#unreadable.has(facts.id)) return;
    const before = this.#readings.get(facts.id);
    const isAnew = before !== undefined && before.over && before.facts.startedAt !== facts.startedAt;
    if (before !== undefined && !isAnew) {
      before.facts = facts;
      return;
    }
    const reading: Reading = { facts, stop: new AbortController(), over: false };
    this.#readings.set(facts.id, reading);
    void this.#read(reading);
    this.#later();
  }

  /** Of all containers that are ours: what others have left is sent, and goes when it has been. */
  keepOnly(ids: ReadonlySet<string>): void {
    for (const [id, reading] of this.#readings) {
      if (ids.has(id)) continue;
      reading.stop.abort();
      this.#readings.delete(id);
    }
    for (const id of this.#unreadable) if (!ids.has(id)) this.#unreadable.delete(id);
    try {
      this.#removeSent(ids);
    } catch (error) {
      this.#options.logger.warn({ error: errorMessage(error) }, 'what was read of earlier containers cannot be looked through');
    }
  }

  /** What is not read yet is left to the next agent. */
  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    for (const { stop } of this.#readings.values()) stop.abort();
    this.#readings.clear();
  }

  /** Of another boot, the lines are those of another file: what a power loss took from the end of this one is missing there. */
  #runOf(id: string): string {
    return `${id.slice(0, 12)}.${this.#options.bootId.replaceAll('-', '').slice(0, 8)}`;
  }

  #keyOf({ id, labels, name }: ContainerFacts): SegmentKey {
    const workload = labels['relight.workload'] ?? name;
    return { workload, generation: Number(labels['relight.generation'] ?? 0), source: 'container', run: this.#runOf(id) };
  }

  #pathOf({ workload, generation, run }: SegmentKey): string {
    return join(this.#options.directory, workload, String(generation), `${run}${suffix}`);
  }

  /** Never rejects. */
  async #read(reading: Reading): Promise<void> {
    const { clock, shipper } = this.#options;
    const { signal } = reading.stop;
    const key = this.#keyOf(reading.facts);
    /** Of the start after whose end journald has been waited for. */
    let settledOf: number | null = null;
    for (let [failures, trouble] = [0, '']; !signal.aborted;) {
      try {
        await this.#once(reading, key);
        failures = 0;
        trouble = '';
        const { facts } = reading;
        if (!isAlive(facts)) {
          if (facts.logDriver !== 'journald' || facts.startedAt === settledOf) break;
          // What journald has not taken up yet is no part of what the engine called the end: read once more when it has.
          await settled(facts.name, this.#options, signal);
          settledOf = facts.startedAt;
          continue;
        }
      } catch (error) {
        const reason = errorMessage(error);
        if (this.#isFinal(reading, error)) break;
        if (reason !== trouble && !signal.aborted) this.#warn(reading, reason);
        trouble = reason;
        failures += 1;
      }
      await delay(clock, Math.min(pauseMsMax, pauseMs * 2 ** failures), signal).catch(() => undefined);
    }
    reading.over = true;
    if (!this.#closed) shipper.finish(key);
  }

  #isFinal({ facts }: Reading, error: unknown): boolean {
    if (toRelightError(error).code === 'container-removed') return true;
    // 501 of the engine: it will never be otherwise.
    if (!/does not support reading/i.test(errorMessage(error))) return false;
    this.#unreadable.add(facts.id);
    this.#readings.delete(facts.id);
    this.#options.unreadable(facts);
    return true;
  }

  #warn({ facts }: Reading, reason: string): void {
    this.#options.logger.warn(
      { container: facts.name, reason },
      'the log of a container cannot be read from the engine; it is tried again',
    );
  }

  /** From where the spool ends to where the engine ends. */
  async #once({ facts, stop }: Reading, key: SegmentKey): Promise<void> {
    const { engine, shipper } = this.#options;
    const path = this.#pathOf(key);
    const spool = new ApiSpool(path);
    this.#spools.add(spool);
    try {
      const cursor = spool.cursor(this.#earlierSpool(key));
      shipper.follow({ key, path, format: 'json-file' });
      let entries: Entry[] = [];
      const write = (): void => {
        spool.append(entries);
        entries = [];
      };
      const lines = new EngineLines({ tty: facts.tty, driver: facts.logDriver }, (entry) => {
        const what = cursor.take(entry);
        if (what === 'known') return;
        if (what === 'gap') {
          write();
          spool.breakOff();
        }
        entries.push(entry);
      });
      for await (const chunk of engine.logs(facts.id, cursor.since, stop.signal)) {
        lines.push(chunk);
        write();
      }
      if (stop.signal.aborted) return;
      lines.end();
      write();
    } finally {
      this.#spools.delete(spool);
      spool.close();
    }
  }

  /** Of the same container, in an earlier boot: where that one ended reading goes on, as long as the new one is empty. */
  #earlierSpool(key: SegmentKey): string | null {
    const own = this.#pathOf(key);
    const id = key.run.split('.', 1)[0] ?? '';
    const others = this.#onDisk().filter(({ key: { run }, path }) => path !== own && run.startsWith(`${id}.`));
    const byAge = others.toSorted((a, b) => fs.statSync(a.path).mtimeMs - fs.statSync(b.path).mtimeMs);
    return byAge.at(-1)?.path ?? null;
  }

  #onDisk(): readonly { readonly key: SegmentKey; readonly path: string }[] {
    const { directory } = this.#options;
    return names(directory).flatMap((workload) =>
      names(join(directory, workload)).flatMap((generation) =>
        names(join(directory, workload, generation)).flatMap((name) => {
          if (!name.endsWith(suffix)) return [];
          const run = name.slice(0, -suffix.length);
          const key: SegmentKey = { workload, generation: Number(generation), source: 'container', run };
          return [{ key, path: join(directory, workload, generation, name) }];
        }),
      ),
    );
  }

  /** `ids`: of containers that are there. */
  #removeSent(ids: ReadonlySet<string>): void {
    const { shipper } = this.#options;
    const present = new Map([...ids].map((id) => [id.slice(0, 12), this.#runOf(id)]));
    const sending = new Set(shipper.segments().map(segmentId));
    for (const { key, path } of this.#onDisk()) {
      const current = present.get(key.run.split('.', 1)[0] ?? '');
      if (current === key.run) continue;
      const id = segmentId(key);
      if (!this.#handedOver.has(id)) {
        this.#handedOver.add(id);
        shipper.follow({ key, path, format: 'json-file' });
        shipper.finish(key);
      } else if (!sending.has(id) && (current === undefined || this.#hasLines({ ...key, run: current }))) {
        removeSpool(path);
        this.#handedOver.delete(id);
      }
    }
  }

  #hasLines(key: SegmentKey): boolean {
    return (fs.statSync(this.#pathOf(key), { throwIfNoEntry: false })?.size ?? 0) > 0;
  }

  #later(): void {
    this.#timer ??= this.#options.clock.after(syncMs, () => {
      this.#timer = null;
      for (const spool of this.#spools) spool.sync();
      if (this.#readings.size > 0) this.#later();
    });
  }
}

const isAlive = ({ status }: ContainerFacts): boolean => status === 'running' || status === 'paused' || status === 'restarting';

function names(directory: string): readonly string[] {
  try {
    return fs.readdirSync(directory);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw error;
  }
}
