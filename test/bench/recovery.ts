/**
 * How long a killed container takes to be ready again, against the floor: the same engine calls back to back, by hand,
 * without agent, log, checks or state. Both begin just before the kill, and each round measures both, so that a machine
 * whose speed drifts slows both alike.
 *
 *   npm run bench -- recovery [ROUNDS] [spare]
 *
 * `spare`: with a prepared spare, against killing the container and one exec in another one that stands ready.
 */
import { availableParallelism, totalmem } from 'node:os';
import { DockerEngine } from '@relight/agent/engine/docker-engine';
import { createOptions, type CreateOptions } from '@relight/agent/engine/create-options';
import { parseConfig } from '@relight/agent/config/load';
import type { StageTiming } from '@relight/agent/supervisor/state';
import type { WorkloadSpec } from '@relight/agent/config/spec';
import { formatBytes } from '@relight/shared/units';
import { stringify } from 'yaml';
import { startPrivateEngine } from '../support/engine.ts';
import { buildTestImage } from '../support/image.ts';
import { startLab, type Lab } from '../support/lab.ts';
import { median } from '../support/statistics.ts';
import { waitFor } from '../support/wait.ts';

const host = 'bench';
const name = 'worker';

function workload(image: string, withSpare: boolean): Record<string, unknown> {
  return {
    name,
    ...(withSpare ? { spare: 'prepared' } : {}),
    container: { image, command: ['sleep', 'infinity'], init: true },
    process: { run: 'exec sleep 1000000' },
    restart: { container: { initial: '0s', budget: '1000 per 10m' }, process: { initial: '0s', budget: '1000 per 10m' } },
  };
}

export async function run([rounds = '10', mode]: readonly string[]): Promise<void> {
  if (mode !== undefined && mode !== 'spare') throw new Error(`the mode is spare, or none, not "${mode}"`);
  const withSpare = mode === 'spare';
  const count = Number(rounds);
  if (!Number.isSafeInteger(count) || count < 1) throw new Error(`ROUNDS is a whole number from 1 up, not "${rounds}"`);
  const engine = await startPrivateEngine();
  try {
    const image = await buildTestImage(engine);
    await using lab = await startLab({ engineSocket: engine.socket });
    const floor = withSpare ? await startExecFloor(engine.socket, image) : await startFloor(engine.socket, image);
    await lab.addAgent({ host, workloads: [workload(image, withSpare)] });
    await lab.fleet.waitForPhase(host, name, 'ready');
    const floors: number[] = [];
    const relights: number[] = [];
    const parts = new Map<string, number[]>();
    for (let round = 0; round < count; round += 1) {
      floors.push(await floor.round());
      if (withSpare) await spareReady(lab);
      const { took, stages } = await relightRound(lab);
      relights.push(took);
      for (const { stage, ms } of stages) parts.set(stage, [...(parts.get(stage) ?? []), ms]);
    }
    report(floors, relights, withSpare);
    for (const [stage, values] of parts) console.log(`    ${stage.padEnd(34)} median ${median(values).toFixed(0).padStart(4)} ms`);
  } finally {
    await engine.dispose();
  }
}

interface Floor {
  round(): Promise<number>;
}

function floorBody(image: string): CreateOptions {
  const config = stringify({ version: 1, workloads: [workload(image, false)] });
  const spec = parseConfig(config, 'bench.yaml', { hostname: host }).workloads[0] as WorkloadSpec;
  return createOptions({
    spec: spec.container,
    workload: 'floor',
    generation: 1,
    ownerId: 'floor',
    fingerprint: {},
    runDirectory: '/tmp',
    secrets: {},
  });
}

/** Kills a container and waits for the engine to say `die`; `then` is timed with it. */
async function afterDeath(engine: DockerEngine, dead: string, then: () => Promise<void>): Promise<number> {
  const listening = new AbortController();
  const died = Promise.withResolvers<void>();
  const open = Promise.withResolvers<void>();
  const listen = async (): Promise<void> => {
    for await (const event of engine.events(listening.signal, open.resolve))
      if (event.action === 'die' && event.id === dead) died.resolve();
  };
  const events = listen().catch(() => {});
  await open.promise;
  const began = performance.now();
  await engine.kill(dead, 'SIGKILL');
  await died.promise;
  await then();
  const took = performance.now() - began;
  listening.abort();
  await events;
  await engine.remove(dead);
  return took;
}

const processArgv = ['sh', '-c', 'exec sleep 1000000'];

/** The bare calls: kill, wait for the engine to say `die`, rename, create, start, look up the pid, exec. */
async function startFloor(socketPath: string, image: string): Promise<Floor> {
  const engine = new DockerEngine({ socketPath });
  const body = floorBody(image);
  let id = (await engine.create('floor', body)).id;
  await engine.start(id);
  let generation = 0;
  return {
    round() {
      generation += 1;
      const dead = id;
      return afterDeath(engine, dead, async () => {
        await engine.rename(dead, `floor-old-${generation}`);
        id = (await engine.create('floor', body)).id;
        await engine.start(id);
        await engine.inspect(id);
        await engine.execDetached(id, { argv: processArgv });
      });
    },
  };
}

/** Nothing but the kill, the engine's `die`, and one exec in a container that stands ready. */
async function startExecFloor(socketPath: string, image: string): Promise<Floor> {
  const engine = new DockerEngine({ socketPath });
  const body = floorBody(image);
  let generation = 0;
  const standing = async (): Promise<string> => {
    generation += 1;
    const { id } = await engine.create(`floor-${generation}`, body);
    await engine.start(id);
    return id;
  };
  let present = await standing();
  await engine.execDetached(present, { argv: processArgv });
  return {
    async round() {
      const next = await standing();
      const dead = present;
      present = next;
      return afterDeath(engine, dead, async () => void (await engine.execDetached(next, { argv: processArgv })));
    },
  };
}

const spareReady = (lab: Lab): Promise<unknown> =>
  waitFor(async () => (await lab.fleet.workload(host, name))?.spare?.state === 'ready', {
    timeoutMs: 60_000,
    everyMs: 20,
    what: 'the spare to be ready',
  });

type Timing = Pick<StageTiming, 'stage' | 'ms'>;

/** From just before the kill to the agent's `workload.ready`, both on this machine's clock. */
async function relightRound(lab: Lab): Promise<{ readonly took: number; readonly stages: readonly Timing[] }> {
  const before = await lab.fleet.workload(host, name);
  const id = before?.containerId ?? '';
  const began = Date.now();
  await lab.engine.kill(id, 'SIGKILL');
  const ready = await waitFor(
    async () =>
      (await lab.fleet.events({ host, kind: 'workload.ready', since: new Date(began).toISOString() })).find(
        (event) => event.generation === (before?.generation ?? 0) + 1,
      ),
    { timeoutMs: 30_000, everyMs: 20, what: 'the workload to be ready again' },
  );
  const took = Date.parse(ready.at) - began;
  // The event may be ahead of the picture: the next round must not kill the container of the last one.
  await waitFor(async () => (await lab.fleet.workload(host, name))?.generation === ready.generation, { what: 'the picture to follow' });
  await lab.fleet.waitForPhase(host, name, 'ready');
  const { downMs, stages } = ready.data as { readonly downMs: number; readonly stages: readonly StageTiming[] };
  return { took, stages: [{ stage: 'from the kill to the decision', ms: took - downMs }, ...stages] };
}

function report(floors: readonly number[], relights: readonly number[], withSpare: boolean): void {
  const machine = `${availableParallelism()} cores, ${formatBytes(totalmem())}`;
  console.log(`recovery of a killed container${withSpare ? ' with a prepared spare' : ''}, ${floors.length} rounds, ${machine}`);
  const row = (label: string, values: readonly number[]): void => {
    const sorted = values.toSorted((a, b) => a - b);
    console.log(
      `  ${label.padEnd(28)} median ${median(values).toFixed(0).padStart(5)} ms   min ${sorted[0]?.toFixed(0)} ms   max ${sorted.at(-1)?.toFixed(0)} ms`,
    );
  };
  row(withSpare ? 'kill and one bare exec' : 'bare engine calls', floors);
  row('Relight, kill to ready', relights);
  console.log(`  ratio of medians ${(median(relights) / median(floors)).toFixed(3)}${withSpare ? '' : ' (goal 1.05, limit 1.25)'}`);
}
