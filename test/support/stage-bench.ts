/**
 * One workload on a real engine without a supervisor: a test asks for operations one by one, as the supervisor would.
 *
 *   await using bench = await startBench({ mounts: [...] });
 *   await bench.up();
 *   await bench.op({ kind: 'mount', mount: 'data', run: bench.run('mount', 'data') });
 */
import { MountProbes } from '@relight/agent/checks/mount';
import { defaultHost } from '@relight/agent/config/host';
import type { AgentSpec, ContainerSpec, WorkloadSpec } from '@relight/agent/config/spec';
import { DockerEngine } from '@relight/agent/engine/docker-engine';
import type { LogShipper } from '@relight/agent/logs/log-shipper';
import { ContainerRuns } from '@relight/agent/stages/container-runs';
import { runRootOf } from '@relight/agent/stages/run-files';
import { runOp } from '@relight/agent/stages/run-op';
import type { StageContext } from '@relight/agent/stages/stage';
import type { Op, OpValue, RunRef } from '@relight/agent/supervisor/op';
import { formatRunId } from '@relight/agent/supervisor/run-id';
import { type Clock, systemClock } from '@relight/shared/clock';
import { segmentId } from '@relight/shared/log-stream';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bareContainer, restartPolicy } from './specs.ts';

type Emitted = Parameters<StageContext['emit']>[0];
type ValueOf<O extends Op> = Extract<OpValue, { kind: O['kind'] }>;

export interface BenchOptions extends Partial<Omit<WorkloadSpec, 'container'>> {
  readonly engineSocket: string;
  readonly image: string;
  readonly container?: Partial<ContainerSpec>;
  readonly agent?: Partial<AgentSpec>;
}

export type Bench = Awaited<ReturnType<typeof startBench>>;

export const fuseContainer = {
  capAdd: ['SYS_ADMIN'],
  devices: [{ source: '/dev/fuse', target: '/dev/fuse', permissions: 'rwm' }],
  securityOpt: ['apparmor=unconfined'],
} satisfies Partial<ContainerSpec>;

const noEscalation = { ...restartPolicy, escalateAfter: null };

export async function startBench({ engineSocket, image, container, agent, ...rest }: BenchOptions) {
  const stateDir = mkdtempSync(join(tmpdir(), 'relight-bench-'));
  const engine = new DockerEngine({ socketPath: engineSocket });
  const name = `bench-${process.pid}-${stateDir.slice(-6)}`;
  const ownerId = `owner-${name}`;
  const spec = workloadSpec(name, { image, ...container }, rest);
  const logs = new RecordingLogs();
  const runs = new ContainerRuns({ engine, clock: systemClock, runRoot: runRootOf(stateDir), logs });
  const mountProbes = new MountProbes({ clock: systemClock });
  const events: Emitted[] = [];
  const stages: string[] = [];
  const abort = new AbortController();
  let vars: Readonly<Record<string, string>> = {};
  let containerId: string | null = null;
  let generation = 0;
  let n = 0;

  const bench = {
    engine,
    runs,
    logs,
    mountProbes,
    events,
    stages,
    spec,
    stateDir,
    ownerId,
    signal: abort.signal,
    get containerId(): string {
      if (containerId === null) throw new Error('the bench has no container yet');
      return containerId;
    },
    get vars() {
      return vars;
    },
    /** Of the present container's runs. */
    get owner() {
      return { owner: ownerId, workload: name, generation };
    },
    /** Another agent process on the same state, or on a new one. */
    otherRuns: (runRoot = runRootOf(stateDir), clock: Clock = systemClock) => new ContainerRuns({ engine, clock, runRoot, logs }),
    run(kind: RunRef['kind'], runName = ''): RunRef {
      n += 1;
      return { runId: formatRunId({ owner: ownerId, workload: name, generation, n, kind, name: runName }), kind, name: runName };
    },
    async op<O extends Op>(op: O, signal: AbortSignal = abort.signal): Promise<ValueOf<O>> {
      const context: StageContext = {
        engine,
        clock: systemClock,
        spec,
        agent: agentSpec(stateDir, engineSocket, agent),
        ownerId,
        generation,
        containerId,
        signal,
        vars,
        setVars: (values) => (vars = values),
        runs,
        mountProbes,
        progress: (stage) => stages.push(stage),
        emit: (event) => events.push(event),
      };
      const value = await runOp(op, context);
      if (value.kind === 'create' && op.kind === 'create') {
        containerId = value.containerId;
        generation = op.generation;
      }
      return value as ValueOf<O>;
    },
    /** A started container of the next generation; its first process's pid. */
    async up(): Promise<number> {
      const created = await bench.op({ kind: 'create', generation: generation + 1 });
      return (await bench.op({ kind: 'start', containerId: created.containerId })).pid;
    },
    /** Starts a shell text, outside any stage. */
    start: (run: RunRef, text: string, env: Readonly<Record<string, string>> = {}) =>
      runs.start({ run, containerId: bench.containerId, generation, workload: name, command: { text }, shell: null, env }, abort.signal),
    exited: (run: Awaited<ReturnType<typeof runs.start>>) => runs.exited(run, bench.containerId, abort.signal),
    tail: (run: RunRef) => runs.tail(run, name, generation, 65_536),
    async [Symbol.asyncDispose](): Promise<void> {
      abort.abort();
      for (const id of await engine.list({ labels: { 'relight.agent': ownerId } })) await engine.remove(id);
      rmSync(stateDir, { recursive: true, force: true });
    },
  };
  return bench;
}

class RecordingLogs implements LogShipper {
  /** Segment id → host path. */
  readonly followed = new Map<string, string>();
  readonly finished = new Set<string>();

  follow(file: Parameters<LogShipper['follow']>[0]): void {
    this.followed.set(segmentId(file.key), file.path);
  }

  finish(key: Parameters<LogShipper['finish']>[0]): void {
    this.finished.add(segmentId(key));
  }
}

function workloadSpec(name: string, container: Partial<ContainerSpec> & { image: string }, rest: Partial<WorkloadSpec>): WorkloadSpec {
  return {
    name,
    dependsOn: [],
    startDeadlineMs: 60_000,
    shell: null,
    mounts: [],
    spare: null,
    setup: [],
    process: null,
    readyWindowMs: 10_000,
    ready: [],
    live: [],
    restart: { process: noEscalation, container: noEscalation },
    logs: { rateLimit: { lines: 50_000, windowMs: 1_000 }, files: [], redact: [] },
    ...rest,
    container: bareContainer({
      name,
      pullPolicy: 'never',
      command: ['sleep', '100000'],
      networkMode: 'none',
      init: true,
      ...container,
    }),
  };
}

const agentSpec = (stateDir: string, socket: string, more: Partial<AgentSpec> = {}): AgentSpec => ({
  file: 'agent.yaml',
  host: defaultHost('bench'),
  collector: null,
  control: { group: null },
  stateDir,
  engine: { socket },
  vars: [],
  workloads: [],
  ...more,
});
