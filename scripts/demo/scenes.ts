/** The five scenes. Each does one thing to the worker or to Relight itself, and shows what comes of it. */
import { ControlClient } from '@relight/agent/control/client';
import { waitFor } from '../../test/support/wait.ts';
import {
  inContainer,
  killInside,
  processIdentity,
  recovered,
  recovery,
  showEvents,
  stableWorker,
  type Scene,
  type Stage,
} from './scene.ts';
import { host, pidFile, workload } from './worker.ts';

/** Which container the worker lives in; a scene is played with a worker that has one. */
async function containerOf(stage: Stage): Promise<string> {
  const { containerId } = await stableWorker(stage);
  if (containerId === null) throw new Error('the worker is ready without a container');
  return containerId;
}

/** The shell that runs the training loop, not the wrapper around it. */
const killWorker = (stage: Stage, container: string): Promise<number> =>
  killInside(
    stage,
    container,
    ([, flag, script]) => flag === '-c' && script?.includes('training step') === true,
    `kill -9 $(cat ${pidFile})`,
  );

const killProcess: Scene = {
  title: 'kill the process',
  explanation: 'SIGKILL to the training process, as the OOM killer does. The container stays.',
  async play(stage) {
    const container = await containerOf(stage);
    const mark = stage.feed.mark();
    const t0 = await killWorker(stage, container);
    using _shown = showEvents(stage, t0, `kill -9 of the process in container ${container.slice(0, 12)}`);
    const result = recovered(await recovery(stage, t0, mark, ['process.exited', 'process.killed']));
    const after = await stage.lab.fleet.waitForPhase(host, workload, 'ready');
    return { ...result, ...same('container', container, after.containerId ?? 'none') };
  },
};

const killContainer: Scene = {
  title: 'kill the container',
  explanation: 'SIGKILL to the container. With it go process, mount and what the setup made.',
  async play(stage) {
    const container = await containerOf(stage);
    const mark = stage.feed.mark();
    const t0 = Date.now();
    using _shown = showEvents(stage, t0, `docker kill ${container.slice(0, 12)}`);
    await stage.lab.engine.kill(container, 'SIGKILL');
    return recovered(await recovery(stage, t0, mark, ['container.died']), ['a new container, mounted and set up again']);
  },
};

const killMount: Scene = {
  title: 'kill the FUSE daemon',
  explanation: 'SIGKILL to bindfs. Every access to /data now answers "not connected".',
  async play(stage) {
    const container = await containerOf(stage);
    const mark = stage.feed.mark();
    const t0 = await killInside(stage, container, ([program]) => program === 'bindfs', 'kill -9 $(pidof bindfs)');
    using _shown = showEvents(stage, t0, 'kill -9 of bindfs');
    const result = recovered(await recovery(stage, t0, mark, ['mount.lost', 'mount.hung']));
    const data = await inContainer(stage, container, 'cat /data/checkpoint');
    return { ...result, notes: [`/data answers again in the same container: "${data}"`] };
  },
};

const restartCollector: Scene = {
  title: 'stop the collector',
  explanation: 'Meanwhile the process is killed. Recovery needs no collector.',
  async play(stage) {
    const { lab, feed, present, agent } = stage;
    const container = await containerOf(stage);
    const mark = feed.mark();
    await lab.collector.stop();
    const control = new ControlClient(agent.stateDir);
    const t0 = await killWorker(stage, container);
    using _shown = showEvents(stage, t0, 'the collector is stopped; kill -9 of the process');
    const status = await waitFor(
      async () => {
        const worker = (await control.status()).workloads.find(({ name }) => name === workload);
        return worker?.phase === 'ready' && (worker.readyAt ?? 0) >= t0 && worker;
      },
      { timeoutMs: 60_000, what: 'the worker to be ready again, asked on its host' },
    );
    present.moment(t0, status.readyAt ?? t0, 'agent, on its host', 'ready again, and nobody has heard of it yet', 'green');
    const back = Date.now();
    await lab.collector.start();
    present.moment(t0, Date.now(), 'collector', 'started again');
    const result = await recovery(stage, t0, mark, ['process.exited', 'process.killed']);
    await lab.fleet.waitForHost(host, 'connected');
    const copies = (await lab.fleet.events({ host, since: new Date(t0).toISOString() })).filter(
      ({ kind }) => kind === 'workload.ready',
    ).length;
    const inTime = Date.parse(result.ready.at) <= back && Date.parse(result.ready.receivedAt) >= back;
    const good = copies === 1 && inTime;
    return {
      ...recovered(result, [
        `events kept on the host, delivered ${Date.parse(result.ready.receivedAt) - back} ms after the collector's start, each once, with the time at which they happened`,
      ]),
      ok: good,
      verdict: good ? 'ready again' : `events arrived wrongly: ${copies} copies, ${inTime ? 'in time' : 'with wrong times'}`,
    };
  },
};

const killAgent: Scene = {
  title: 'kill -9 the agent',
  explanation: 'It dies without a word and is started again. The worker must not notice.',
  async play(stage) {
    const { lab, feed, present, agent } = stage;
    const container = await containerOf(stage);
    const before = `container ${container.slice(0, 12)}, ${await processIdentity(stage, container)}`;
    const mark = feed.mark();
    const t0 = Date.now();
    using _shown = showEvents(stage, t0, 'kill -9 of the agent');
    await agent.service.kill();
    const gone = await feed.next(mark, ({ kind }) => kind === 'agent.disconnected', 'agent.disconnected');
    await agent.service.start();
    present.moment(t0, Date.now(), 'agent', 'started again');
    const adopted = await feed.next(mark, ({ kind }) => kind === 'container.adopted', 'container.adopted');
    const after = await lab.fleet.waitForPhase(host, workload, 'ready');
    const now = `container ${after.containerId?.slice(0, 12) ?? 'none'}, ${await processIdentity(stage, container)}`;
    const touched = feed.since(mark).filter(({ kind }) => ['restart.scheduled', 'container.created', 'process.started'].includes(kind));
    const same = before === now && touched.length === 0;
    return {
      detectedMs: Date.parse(gone.at) - t0,
      readyMs: Date.parse(adopted.at) - t0,
      reason: adopted.message,
      stages: [],
      notes: [`${now}: the same as before`],
      ok: same,
      verdict: same ? 'untouched' : `changed: before ${before}, now ${now}; ${touched.map(({ kind }) => kind).join(', ')}`,
    };
  },
};

function same(
  what: string,
  before: string,
  after: string,
): { readonly notes: readonly string[]; readonly ok: boolean; readonly verdict: string } {
  const kept = before === after;
  return { notes: [`the same ${what} ${after.slice(0, 12)}`], ok: kept, verdict: kept ? 'ready again' : `another ${what}` };
}

export const scenes: readonly Scene[] = [killProcess, killContainer, killMount, restartCollector, killAgent];
