/** What a scene works with, and the parts that all scenes share. */
import type { ApiEvent, ApiWorkload } from '@relight/shared/api';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EventFeed, FeedMark } from '../../test/support/event-feed.ts';
import type { Lab, LabAgent } from '../../test/support/lab.ts';
import { listProcesses, signalProcess } from '../../test/support/processes.ts';
import type { Presenter } from './present.ts';
import { host, pidFile, stableMs, workload } from './worker.ts';

export interface Stage {
  readonly lab: Lab;
  readonly agent: LabAgent;
  readonly feed: EventFeed;
  readonly present: Presenter;
}

interface StageTime {
  readonly stage: string;
  readonly ms: number;
}

export interface SceneResult {
  readonly title: string;
  readonly detectedMs: number | null;
  readonly readyMs: number | null;
  readonly reason: string;
  readonly stages: readonly StageTime[];
  /** What was looked at besides, and found right. */
  readonly notes: readonly string[];
  readonly ok: boolean;
  readonly verdict: string;
}

export interface Scene {
  readonly title: string;
  readonly explanation: string;
  play(stage: Stage): Promise<Omit<SceneResult, 'title'>>;
}

/** Kinds that tell what an operator wants to follow; the others come too often to be read. */
const quiet: ReadonlySet<string> = new Set(['workload.phase-changed', 'setup.step-started', 'check.recovered']);

/** Shows the fault, and then the events of the worker and of its host as they arrive. */
export function showEvents({ feed, present }: Stage, t0: number, fault: string): Disposable {
  present.moment(t0, t0, 'fault', fault, 'red');
  return feed.listen((event) => {
    if (!quiet.has(event.kind)) present.event(t0, event);
  });
}

/** The worker, ready for so long that its next failure is the first after a stable run. */
export async function stableWorker({ lab }: Stage): Promise<ApiWorkload> {
  const ready = await lab.fleet.waitForPhase(host, workload, 'ready');
  const since = Date.parse(ready.readyAt ?? ready.phaseSince);
  // The agent looks at its clock when something happens: a little more than the bare time.
  await sleep(Math.max(0, since + stableMs + 300 - Date.now()));
  return ready;
}

/** A command in the worker's container. */
export async function inContainer({ lab }: Stage, containerId: string, script: string): Promise<string> {
  const { exitCode, stdout, stderr } = await lab.engine.exec(containerId, { argv: ['sh', '-c', script] });
  if (exitCode !== 0) throw new Error(`"${script}" in the container ended with ${exitCode}: ${stderr}`);
  return stdout.trim();
}

/**
 * SIGKILL to a process of the container, as exactly timed as can be: from the host where we may, else from inside.
 * Resolves with the moment of the kill, epoch milliseconds.
 */
export async function killInside(
  stage: Stage,
  containerId: string,
  isMeant: (cmdline: readonly string[]) => boolean,
  script: string,
): Promise<number> {
  const found = listProcesses().find(({ cgroup, cmdline }) => cgroup.includes(containerId) && isMeant(cmdline));
  const t0 = Date.now();
  if (found !== undefined && process.getuid?.() === 0) signalProcess(found.pid, 'SIGKILL');
  else await inContainer(stage, containerId, script);
  return t0;
}

/** Pid in the container and start time: tells one process from every other. */
export const processIdentity = (stage: Stage, containerId: string): Promise<string> =>
  inContainer(stage, containerId, `pid=$(cat ${pidFile}); set -- $(cat /proc/$pid/stat); echo "pid $pid, started at tick $\{22}"`);

/** An agent that has lost its collector dials again within 30 s, and on a busy machine perhaps once in vain. */
const heardMs = 90_000;

interface Recovery {
  readonly t0: number;
  /** The first sign of the fault. */
  readonly detected: ApiEvent;
  readonly ready: ApiEvent;
}

/** Waits for the first of `signs` behind `mark`, and then for ready. */
export async function recovery({ feed }: Stage, t0: number, mark: FeedMark, signs: readonly ApiEvent['kind'][]): Promise<Recovery> {
  const detected = await feed.next(mark, ({ kind }) => signs.includes(kind), signs.join(' or '), heardMs);
  const ready = await feed.next(mark, ({ kind }) => kind === 'workload.ready', 'the worker to be ready again', heardMs);
  return { t0, detected, ready };
}

export function recovered({ t0, detected, ready }: Recovery, notes: readonly string[] = []): Omit<SceneResult, 'title'> {
  const { cause } = ready.data;
  return {
    detectedMs: Date.parse(detected.at) - t0,
    readyMs: Date.parse(ready.at) - t0,
    reason: typeof cause === 'string' ? cause : detected.message,
    stages: stagesOf(ready),
    notes,
    ok: true,
    verdict: 'ready again',
  };
}

function stagesOf(ready: ApiEvent): readonly StageTime[] {
  const stages = ready.data['stages'];
  return Array.isArray(stages) ? (stages as readonly StageTime[]) : [];
}
