/**
 * Faults at random on a real Ray worker with its mount, one after the other and into each other's recovery. After each the
 * worker must be of use again, without anybody's help, and every event must have reached the collector. Replayable by its seed,
 * as far as the machine's timing is.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiEvent } from '@relight/shared/api';
import { type CommittedEpoch, committedEpochs, isCommitted, placeAmong } from '../committed-events.ts';
import { EventFeed, type FeedMark } from '../event-feed.ts';
import { waitFor } from '../wait.ts';
import { type FaultName, faults, runningNode } from './faults.ts';
import { mountPoint, type RayWorker } from './ray-cluster.ts';

export interface ChaosRound {
  readonly round: number;
  readonly what: string;
  /** From the last strike to ready. */
  readonly ms: number;
}

/** A stable run in between costs nothing here; budgets are for crash loops, not for fifty faults in a quarter of an hour. */
const generous = { initial: '200ms', max: '5s', reset_after: '10s', budget: '1000 per 10m' };
export const chaosRestarts = { process: generous, container: generous };

const backMsMax = 180_000;
/** An agent that has lost its collector dials again after up to 30 s. */
const deliveryMs = 90_000;
/** Into the recovery from the one before: a worker needs some 5 s. */
const intoRecoveryMs = 5_000;

/** Resolves with the number of events, all of which are stored; fails with the seed when a round does not end well. */
export async function runChaos(worker: RayWorker, count: number, seed: number, onRound: (round: ChaosRound) => void): Promise<number> {
  const random = mulberry32(seed);
  using feed = new EventFeed(worker.bystander.lab.fleet);
  const events = new WorkerEvents(feed, worker.bystander.agent.host);
  const names = Object.keys(faults) as FaultName[];
  const pick = (): FaultName => names[Math.floor(random() * names.length)] as FaultName;
  for (let round = 1; round <= count;) {
    const struck: string[] = [];
    const mark = feed.mark();
    let since = mark;
    try {
      for (let more = true; more && round + struck.length <= count; more = random() < 0.3) {
        if (struck.length > 0) await sleep(random() * intoRecoveryMs);
        since = feed.mark();
        struck.push(await strike(worker, pick(), random));
      }
      const ms = await back(worker, events, mark, since);
      onRound({ round, what: struck.join(', then '), ms });
      round += struck.length;
    } catch (error) {
      throw new Error(`seed ${seed}, fault ${round} (${struck.join(', then ')}): ${String(error)}`, { cause: error });
    }
  }
  return await expectEveryEvent(worker, events);
}

class WorkerEvents {
  readonly #feed: EventFeed;
  readonly #host: string;

  constructor(feed: EventFeed, host: string) {
    this.#feed = feed;
    this.#host = host;
  }

  since(mark: FeedMark): readonly ApiEvent[] {
    return this.#feed.since(mark).filter(({ host }) => host === this.#host);
  }
}

async function strike(worker: RayWorker, name: FaultName, random: () => number): Promise<string> {
  await faults[name](worker);
  if (random() > 0.1) return name;
  // Of its own worker's end it then hears only after its own.
  await worker.bystander.agent.service.kill();
  await worker.bystander.agent.service.start();
  return `${name}, agent killed`;
}

/** Ready after the last strike, proven by the head and the bucket; nobody was asked for help on the way. */
async function back(worker: RayWorker, events: WorkerEvents, mark: FeedMark, since: FeedMark): Promise<number> {
  const began = Date.now();
  await waitFor(
    async () => {
      const last = events
        .since(since)
        .findLast(({ kind }) => kind === 'workload.ready' || kind === 'workload.degraded' || kind === 'restart.scheduled');
      return last?.kind === 'workload.ready' && (await isUseful(worker));
    },
    { timeoutMs: backMsMax, everyMs: 100, what: 'the worker to be of use again' },
  );
  const helpless = events.since(mark).filter(({ kind }) => kind === 'workload.held');
  if (helpless.length > 0) throw new Error(`it waits for a person: ${helpless[0]?.message ?? ''}`);
  const ready = events.since(mark).findLast(({ kind }) => kind === 'workload.ready');
  return Date.parse(ready?.at ?? '') - began;
}

async function isUseful(worker: RayWorker): Promise<boolean> {
  try {
    const node = await runningNode(worker);
    const marker = await worker.bystander.exec('cat', `${mountPoint}/marker`);
    return (await worker.alive()).includes(node) && marker === 'content\n' && (await worker.bystander.status()).phase === 'ready';
  } catch {
    return false;
  }
}

/** What the collector adds of itself. */
const collectorKinds: ReadonlySet<string> = new Set([
  'agent.connected',
  'agent.disconnected',
  'host.suspect',
  'host.dead',
  'host.recovered',
  'alert.firing',
  'alert.resolved',
]);

/**
 * The agent numbers its events; what its own log says of one stands at its place in the collector, from the first to the last. An agent
 * that is killed may not have logged its last ones: those, too, must be stored, for the numbers go on behind them.
 */
async function expectEveryEvent({ bystander }: RayWorker, events: WorkerEvents): Promise<number> {
  const logged = readFileSync(bystander.agent.service.logFile, 'utf8').split('\n').flatMap(loggedEvent);
  const [first, last] = [logged[0], logged.at(-1)];
  if (first === undefined || last === undefined) return 0;
  const committed = () => committedEpochs(bystander.lab.directory, bystander.agent);
  const timing = { timeoutMs: deliveryMs, everyMs: 200 };
  await waitFor(() => isCommitted(committed(), last), { ...timing, what: `event ${last.seq} to be committed` });
  const epochs = committed();
  const place = (event: CommittedEpoch): number => placeAmong(epochs, event) - placeAmong(epochs, first);
  const count = place(last) + 1;
  const stored = await waitFor(
    () => {
      const kinds = events.since(0).flatMap(({ kind }) => (collectorKinds.has(kind) ? [] : [kind]));
      return kinds.length >= count && kinds;
    },
    { ...timing, what: `all ${count} events to be stored` },
  );
  const wrong = logged.find((event) => stored[place(event)] !== event.kind);
  if (wrong !== undefined) throw new Error(`event ${wrong.seq} is ${wrong.kind}; the collector has ${stored[place(wrong)]} there`);
  return count;
}

/** None for another line, and for one that was cut off by a SIGKILL. */
function loggedEvent(line: string): readonly (CommittedEpoch & { readonly kind: string })[] {
  try {
    const { epoch, seq, kind } = JSON.parse(line) as { readonly epoch?: string; readonly seq?: number; readonly kind?: string };
    return epoch === undefined || seq === undefined || kind === undefined ? [] : [{ epoch, seq, kind }];
  } catch {
    return [];
  }
}

/** Small and well known; enough to choose faults. */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
