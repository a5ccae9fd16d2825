/**
 * Agent and collector as real processes, each with its state on a small disk of its own, a container that writes thousands of numbered lines a
 * second, and somebody who fills both disks to the last block and kills both programs, at random moments and into each other. After every
 * round the writers pause: every line is there once, unchanged and in order, or a gap has told of it; both programs have said why
 * nothing could be written, neither has grown, and the workload knows of nothing.
 */
import { ControlClient } from '@relight/agent/control/client';
import type { AgentStatus } from '@relight/agent/control/status';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EventFeed } from '../event-feed.ts';
import { startLab, type Lab, type LabAgent, type ProgramResult } from '../lab.ts';
import { LoopDisk } from '../loop-disk.ts';
import { Ledger } from '../log-ledger.ts';
import { LedgerReader } from '../log-ledger-reader.ts';
import { LineWriter } from '../log-shapes/line-writer.ts';
import { own } from '../owned-directory.ts';
import { memoryOf } from '../process-cost.ts';
import type { Service } from '../service.ts';
import { eventually, waitFor } from '../wait.ts';
import { logWriter } from './compile.ts';
import { planRound, planText, sides, type Plan, type Side } from './disk-plan.ts';
import { emittedEvents, eventAccount } from './stored-events.ts';

export interface DiskTrialOptions {
  readonly engineSocket: string;
  readonly image: string;
  readonly seed: number;
  /** Of the container's own output and of its process together. */
  readonly linesPerSecond: number;
  /** Size of each disk. Logs may take 5 % of the agent's; the collector's must hold all lines. */
  readonly megabytes: Readonly<Record<Side, number>>;
}

export interface RoundResult {
  readonly plan: Plan;
  /** From the last fault, and the last line, until nothing waited on the host any more. */
  readonly caughtUpMs: number;
  /** Until every line was read and judged, too. */
  readonly judgedMs: number;
  /** Since the beginning. */
  readonly lines: number;
}

export interface TrialResult {
  readonly lines: number;
  /** Lines that gaps have told of. */
  readonly missed: number;
  /** By reason. */
  readonly gaps: Readonly<Record<string, number>>;
  readonly events: number;
  /** Events that waited in the memory of an agent that was killed while its disk was full: nobody could keep those. */
  readonly eventsInMemory: number;
  /** Bytes, every second. */
  readonly resident: Readonly<Record<Side, readonly number[]>>;
}

interface Parts {
  readonly lab: Lab;
  readonly agent: LabAgent;
  readonly disks: Readonly<Record<Side, LoopDisk>>;
  readonly ledger: string;
  readonly containerName: string;
  readonly untouched: string;
}

/** Monotonic times. */
type Since = readonly (number | null)[];

const host = 'disks';
const workload = 'writers';
/** From the last fault: a dial again takes up to 30 s, and what was written meanwhile is to be sent, and read, on a busy machine. */
const judgedMsMax = 300_000;
const sampleMs = 1_000;
/** The agent's own log goes on. */
const ownLagBytes = 4_096;
/** An agent looks at its disk every 10 s, and the command itself takes its time. */
const saidMs: Readonly<Record<Side, number>> = { agent: 20_000, collector: 10_000 };
/** As a service manager does it. */
const startAgainMs = 500;
/** At full load for ten minutes they have 125 and 306 MiB at most; here every line is read as well, many at once. */
const residentMax: Readonly<Record<Side, number>> = { agent: 200 * 1024 ** 2, collector: 800 * 1024 ** 2 };

function writers({ image, linesPerSecond }: DiskTrialOptions, name: string, control: string): Record<string, unknown> {
  const write = (source: string, perSecond: number): string => `/control/log-writer ${source} ${perSecond} /control/ledger`;
  const command = `mkdir -p /issued; ${write('file:lines', 50)} >> /issued/lines & exec ${write('container', linesPerSecond / 2)}`;
  return {
    name: workload,
    container: { name, image, pull_policy: 'never', init: true, volumes: [`${control}:/control`], command: ['sh', '-c', command] },
    process: { run: `exec ${write('process', linesPerSecond / 2)}`, stop_timeout: '1s' },
    logs: { files: ['/issued/*'] },
  };
}

export class DiskTrial implements AsyncDisposable {
  readonly #seed: number;
  readonly #parts: Parts;
  readonly #ledger: Ledger;
  readonly #reader: LedgerReader;
  readonly #random: LineWriter;
  readonly #feed: EventFeed;
  readonly #resident: Record<Side, number[]> = { agent: [], collector: [] };
  readonly #sampling: NodeJS.Timeout;
  /** Since when each runs, and has been full; monotonic. Null: it does not, is not. */
  readonly #upSince: Record<Side, number | null> = { agent: performance.now(), collector: performance.now() };
  readonly #fullSince: Record<Side, number | null> = { agent: null, collector: null };
  /** Epoch milliseconds. */
  readonly #agentFull: { readonly from: number; readonly to: number }[] = [];

  static async start(options: DiskTrialOptions): Promise<DiskTrial> {
    const directory = mkdtempSync(join(tmpdir(), 'relight-lab-'));
    own(directory);
    const control = join(directory, 'control');
    mkdirSync(join(control, 'ledger'), { recursive: true });
    copyFileSync(await logWriter(), join(control, 'log-writer'));
    const mount = (side: Side, mountPoint: string): Promise<LoopDisk> =>
      LoopDisk.mount(join(directory, `${side}.img`), join(directory, mountPoint), options.megabytes[side]);
    const disks = { agent: await mount('agent', `hosts/${host}/state`), collector: await mount('collector', 'collector') };
    const lab = await startLab({ engineSocket: options.engineSocket, directory });
    try {
      const containerName = `disks-${process.pid}`;
      const agent = await lab.addAgent({ host, workloads: [writers(options, containerName, control)] });
      await lab.fleet.waitForPhase(host, workload, 'ready');
      const untouched = await pictureOf(lab, containerName);
      return new DiskTrial(options.seed, { lab, agent, disks, ledger: join(control, 'ledger'), containerName, untouched });
    } catch (error) {
      await lab.dispose();
      throw error;
    }
  }

  private constructor(seed: number, parts: Parts) {
    this.#seed = seed;
    this.#parts = parts;
    this.#ledger = new Ledger(parts.ledger);
    this.#reader = new LedgerReader(parts.lab.fleet, { host, workload }, this.#ledger);
    this.#random = new LineWriter(seed, 0, 1);
    this.#feed = new EventFeed(parts.lab.fleet);
    this.#sampling = setInterval(() => this.#sample(), sampleMs);
  }

  /** Fails with the round's plan, and the last words of both programs, when it does not end well. */
  round(lengthMs: number): Promise<RoundResult> {
    const plan = planRound((limit) => this.#random.below(limit), lengthMs);
    return this.#explained(planText(plan), async () => {
      this.#ledger.resume();
      const began = performance.now();
      const until = (ms: number): Promise<void> => sleep(Math.max(0, began + ms - performance.now()));
      // Each to its end, whatever becomes of the others: what stays full, or down, would fail all that comes behind.
      const struck = await Promise.allSettled(sides.flatMap((side) => [this.#fill(plan, side, until), this.#kill(plan, side, until)]));
      const failed = struck.find(({ status }) => status === 'rejected');
      if (failed?.status === 'rejected') throw failed.reason;
      const over = performance.now();
      const since = (): number => Math.round(performance.now() - over);
      await this.#ledger.pause();
      const [caughtUpMs] = await Promise.all([this.#caughtUp().then(since), this.#reader.whole(judgedMsMax)]);
      await this.#expectSound();
      return { plan, caughtUpMs, judgedMs: since(), lines: this.#reader.lines };
    });
  }

  /** Nobody writes or strikes any more: everything is there, and is still the same when it is read from the beginning. */
  end(): Promise<TrialResult> {
    return this.#explained('the end', async () => {
      await this.#ledger.stop();
      await this.#reader.whole(judgedMsMax);
      await this.#expectSound();
      const again = new LedgerReader(this.#parts.lab.fleet, { host, workload }, this.#ledger);
      await again.whole(judgedMsMax);
      const { judge, lines } = this.#reader;
      const [first, second] = [
        { ...judge.account, lines },
        { ...again.judge.account, lines: again.lines },
      ].map((account) => JSON.stringify(account));
      if (first !== second) throw new Error(`read while it came: ${first}\nread from the beginning: ${second}`);
      const gaps = Object.groupBy(judge.gaps, ({ gap }) => gap.reason);
      return {
        lines,
        missed: judge.missed,
        gaps: Object.fromEntries(Object.entries(gaps).map(([reason, found = []]) => [reason, found.length])),
        ...(await this.#expectEvents()),
        resident: this.#resident,
      };
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#sampling);
    this.#feed[Symbol.dispose]();
    for (const side of sides) this.#parts.disks[side].free();
    await this.#parts.lab.dispose();
  }

  #service(side: Side): Service {
    return side === 'agent' ? this.#parts.agent.service : this.#parts.lab.collector;
  }

  async #fill({ full }: Plan, side: Side, until: (ms: number) => Promise<void>): Promise<void> {
    const disk = this.#parts.disks[side];
    for (const { from, to } of full.filter((one) => one.disk === side)) {
      await until(from);
      const began = Date.now();
      const over = new AbortController();
      this.#fullSince[side] = performance.now();
      try {
        // Also what is given back meanwhile.
        const filling = (async () => {
          while (!over.signal.aborted) {
            disk.fill();
            await sleep(50);
          }
        })();
        await Promise.all([filling, this.#expectSaid(side, over.signal), until(to).finally(() => over.abort())]);
      } finally {
        over.abort();
        disk.free();
        this.#fullSince[side] = null;
        if (side === 'agent') this.#agentFull.push({ from: began, to: Date.now() });
      }
    }
  }

  async #kill({ kills }: Plan, side: Side, until: (ms: number) => Promise<void>): Promise<void> {
    const service = this.#service(side);
    for (const { at, forMs } of kills.filter(({ program }) => program === side)) {
      await until(at);
      this.#upSince[side] = null;
      await service.kill();
      await sleep(forMs);
      await this.#startAgain(side);
      this.#upSince[side] = performance.now();
    }
  }

  /** A collector does not start on a disk without any room, and says so; an agent does. */
  async #startAgain(side: Side): Promise<void> {
    const service = this.#service(side);
    for (;;) {
      try {
        await service.start();
        return;
      } catch (error) {
        if (side === 'agent' || !/the disk of \S+ is full/.test(service.logTail(5))) throw error;
      }
      await sleep(startAgainMs);
    }
  }

  /** As long as the disk of this side is full, whoever has run for long enough says it. */
  async #expectSaid(side: Side, over: AbortSignal): Promise<void> {
    const { agent, lab } = this.#parts;
    const full = /disk-full|no space left/i;
    while (!over.aborted) {
      const isFull = (): number | null => this.#fullSince[side];
      if (side === 'agent')
        await this.#expectAnswer(
          full,
          saidMs.agent,
          () => [isFull(), this.#upSince.agent],
          () => lab.agentCommand(agent, 'status'),
        );
      // Of the agent's disk a collector knows what it is told, of its own what it was to store.
      const told = async (): Promise<Since> => [isFull(), this.#upSince.agent, this.#upSince.collector, await this.#connectedSince()];
      if (side === 'collector')
        await this.#expectAnswer(/nothing can be stored since .*full/i, saidMs.collector, told, () => lab.relight('status'));
      else if (this.#fullSince.collector === null) await this.#expectAnswer(full, saidMs.agent, told, () => lab.relight('status'));
      await sleep(500, undefined, { signal: over }).catch(() => undefined);
    }
  }

  /** `since`: what has to be so for this answer, since when; null: not all of it is, and anything may be answered. */
  async #expectAnswer(says: RegExp, ms: number, since: () => Since | Promise<Since>, ask: () => Promise<ProgramResult>): Promise<void> {
    const asked = performance.now();
    const { stderr, stdout } = await ask();
    const answer = `${stderr}${stdout}`;
    const times = await since();
    const all = times.filter((at) => at !== null);
    const waitedMs = all.length < times.length ? 0 : asked - Math.max(...all);
    if (waitedMs > ms && !says.test(answer))
      throw new Error(`${Math.round(waitedMs)} ms after it began, no word about the full disk in:\n${answer}`);
  }

  async #caughtUp(): Promise<void> {
    await waitFor(
      async () => {
        const { connected = false, lagEvents = 0, lagBytes = 0 } = (await this.#status())?.collector ?? {};
        return connected && lagEvents === 0 && lagBytes <= ownLagBytes;
      },
      { timeoutMs: judgedMsMax, everyMs: 100, what: 'what waited on the host to be stored' },
    );
  }

  /** Null: it does not run, or has only just begun. */
  #status(): Promise<AgentStatus | null> {
    return new ControlClient(this.#parts.agent.stateDir).status().catch(() => null);
  }

  async #connectedSince(): Promise<number | null> {
    const status = await this.#status();
    return status?.collector?.connected === true ? performance.now() - (Date.now() - status.collector.since) : null;
  }

  async #expectSound(): Promise<void> {
    const { containerName, lab, untouched } = this.#parts;
    const wrong = [...this.#reader.judge.wrong];
    const now = await pictureOf(lab, containerName);
    if (now !== untouched) wrong.push(`the workload was touched: ${now} instead of ${untouched}`);
    const writing = this.#ledger.lives().length;
    if (writing !== 3) wrong.push(`${writing} writers have written, not 3`);
    for (const side of sides) {
      const most = Math.max(0, ...this.#resident[side]);
      if (most > residentMax[side]) wrong.push(`the ${side} had ${most} bytes resident`);
      if (this.#service(side).pid === undefined) wrong.push(`the ${side} has ended by itself`);
    }
    if (wrong.length > 0) throw new Error(wrong.join('\n'));
  }

  /** Those that the agent tells of in its own log, each once; its log is on another disk. */
  async #expectEvents(): Promise<Pick<TrialResult, 'events' | 'eventsInMemory'>> {
    const { agent } = this.#parts;
    return eventually(
      () => {
        const stored = this.#feed.events.filter((event) => event.host === host);
        const emitted = emittedEvents(readFileSync(agent.service.logFile, 'utf8'));
        const { doubled, missing } = eventAccount(emitted, stored);
        const lost = missing.filter(({ at }) => !this.#agentFull.some(({ from, to }) => at >= from && at <= to));
        if (lost.length > 0 || doubled.length > 0)
          throw new Error(`events lost: ${JSON.stringify(lost)}, doubled: ${JSON.stringify(doubled)}`);
        return { events: emitted.length, eventsInMemory: missing.length };
      },
      { timeoutMs: 60_000, everyMs: 500, what: 'every event to be stored' },
    );
  }

  #sample(): void {
    for (const side of sides) {
      const { pid } = this.#service(side);
      // Null: it ends at this moment.
      const residentBytes = pid === undefined ? null : residentOf(pid);
      if (residentBytes !== null) this.#resident[side].push(residentBytes);
    }
  }

  async #explained<T>(what: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const words = sides.map((side) => `${side}:\n${this.#service(side).logTail(20)}`).join('\n');
      throw new Error(`seed ${this.#seed}, ${what}\n${words}`, { cause: error });
    }
  }
}

/** What must not change: the container, since when it runs, and how often anything was restarted. */
async function pictureOf(lab: Lab, containerName: string): Promise<string> {
  const facts = await lab.engine.inspect(containerName);
  const known = await lab.fleet.workload(host, workload);
  return JSON.stringify({ id: facts?.id, pid: facts?.pid, startedAt: facts?.startedAt, phase: known?.phase, restarts: known?.restarts });
}

function residentOf(pid: number): number | null {
  try {
    // A zombie has no such line.
    return memoryOf(pid).residentBytes || null;
  } catch {
    return null;
  }
}
