/** `npm run demo`: watch a worker die and come back, useful, in under a second. */
import { errorMessage } from '@relight/shared/errors';
import { existsSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { dockerApi } from '../test/support/docker-api.ts';
import { startPrivateEngine } from '../test/support/engine.ts';
import { enginePrograms, ensurePrograms, imagePrograms, MachineError, ownEngine } from '../test/support/engine-install.ts';
import { EventFeed } from '../test/support/event-feed.ts';
import { buildDemoImage } from '../test/support/image.ts';
import { programs, startLab, type Lab } from '../test/support/lab.ts';
import { buildAll } from './build.ts';
import { showAlert, showLogs } from './demo/finale.ts';
import { parseOptions, usage, type DemoOptions } from './demo/options.ts';
import { Presenter } from './demo/present.ts';
import type { SceneResult, Stage } from './demo/scene.ts';
import { scenes } from './demo/scenes.ts';
import { collectorConfig, host, workerConfig, workload } from './demo/worker.ts';

const present = new Presenter();
/** Everything to be undone, the latest first. */
const cleanup = new AsyncDisposableStack();

/** Registered before it is there: Ctrl-C may come while it starts, and waits for it. After Ctrl-C nothing starts any more. */
function use<T>(step: string, start: () => Promise<T>): Promise<T> {
  if (cleanup.disposed) throw new Error('cleaning up');
  present.step(step);
  const starting = start();
  cleanup.defer(async () => {
    const started = (await starting.catch(() => null)) as Partial<AsyncDisposable> | null | undefined;
    await started?.[Symbol.asyncDispose]?.();
  });
  return starting;
}

/** Before anything is made: what only a person can put right. Path of the socket, or undefined for an engine of our own. */
async function prepareMachine({ engine }: DemoOptions): Promise<string | undefined> {
  const looking = 'looking at what this machine has …';
  if (engine === 'private') {
    await use(looking, () => ensurePrograms([...enginePrograms, ...imagePrograms], ownEngine));
    return undefined;
  }
  const socket = (process.env['DOCKER_HOST'] ?? 'unix:///var/run/docker.sock').replace(/^unix:\/\//, '');
  if (!existsSync(socket)) {
    throw new MachineError(`no engine at ${socket}: set DOCKER_HOST to unix:///path/of/its.sock, or leave --engine out`);
  }
  await use(looking, () => ensurePrograms(imagePrograms, 'the agent'));
  return socket;
}

async function setStage(options: DemoOptions): Promise<Stage> {
  present.title('Relight demo');
  const reachable = await prepareMachine(options);
  await use('building the three programs …', () => buildAll());
  const socket = reachable ?? (await use('starting a private Docker Engine …', () => startPrivateEngine())).socket;
  // The engine may be somebody's, and in use by another demo: a tag of our own, which goes with us.
  const image = `relight-demo:${process.pid}`;
  await use('building the worker image on the spot …', async () => {
    await buildDemoImage({ socket }, image);
    return { [Symbol.asyncDispose]: () => (reachable === undefined ? Promise.resolve() : dockerApi(socket).removeImage(image)) };
  });
  const lab = await use('starting the collector, a webhook for its alerts, and an agent …', () =>
    startLab({ engineSocket: socket, collector: collectorConfig }),
  );
  const feed = cleanup.use(new EventFeed(lab.fleet));
  const agent = await lab.addAgent({ host, labels: { pool: 'demo' }, workloads: [workerConfig(image, `relight-demo-${process.pid}`)] });
  present.step(`collector at ${lab.url}, everything it writes in ${lab.directory}`);
  const ready = await feed.next(0, ({ kind }) => kind === 'workload.ready', 'the worker to be ready', 120_000);
  present.step(`worker ${ready.message}: container, two setup steps, FUSE mount, process, checks`);
  present.say('');
  present.block((await lab.relight('status')).stdout);
  return { lab, agent, feed, present };
}

async function play(stage: Stage): Promise<readonly SceneResult[]> {
  const results: SceneResult[] = [];
  for (const [index, scene] of scenes.entries()) {
    present.scene(index + 1, `${scene.title[0]?.toUpperCase()}${scene.title.slice(1)}`, scene.explanation);
    const failed = { detectedMs: null, readyMs: null, reason: '-', stages: [], notes: [], ok: false };
    const result = await scene.play(stage).catch((error: unknown) => ({ ...failed, verdict: errorMessage(error) }));
    results.push({ title: scene.title, ...result });
    present.result({ title: scene.title, ...result });
    // What comes next stands on this one.
    if (!result.ok) break;
  }
  return results;
}

async function demo(options: DemoOptions): Promise<boolean> {
  const stage = await setStage(options);
  try {
    const results = await play(stage);
    const cameBack = results.length === scenes.length && results.every(({ ok }) => ok);
    const whole = cameBack && (await showLogs(stage)) && (await showAlert(stage));
    present.summary(results);
    present.say('');
    present.say(whole ? 'Everything came back.' : 'NOT everything came back.');
    if (!whole) showServiceLogs(stage.lab);
    if (options.keep) await keepRunning(stage.lab);
    return whole;
  } catch (error) {
    showServiceLogs(stage.lab);
    throw error;
  }
}

function showServiceLogs(lab: Lab): void {
  for (const service of [lab.collector, ...lab.agents.map((agent) => agent.service)]) {
    present.title(`last lines of ${service.logFile}`);
    present.block(service.logTail(15));
  }
}

async function keepRunning(lab: Lab): Promise<void> {
  // The machine's own node may be too old for the bundles.
  const node = `'${process.argv0}'`;
  const agent = lab.agents[0];
  present.title('Running until Ctrl-C. In another terminal:');
  present.block(
    [
      ...Object.entries(lab.operatorEnvironment).map(([name, value]) => `export ${name}=${value}`),
      `relight() { ${node} '${programs.relight}' "$@"; }`,
      '',
      'relight status --watch',
      `relight tail ${host}/${workload}`,
      'relight events --follow',
      `relight restart ${host}/${workload} --level container`,
      'relight alerts',
      `${node} '${programs.agent}' status --state-dir '${agent?.stateDir ?? ''}'`,
    ].join('\n'),
  );
  await new Promise<never>(() => setInterval(() => {}, 2 ** 30));
}

let ending = false;
async function end(code: number): Promise<void> {
  if (ending) return;
  ending = true;
  try {
    await cleanup.disposeAsync();
  } catch (error) {
    present.error(`demo: cleaning up: ${errorMessage(error)}`);
    process.exit(code === 0 ? 1 : code);
  }
  process.exit(code);
}

const options = parseOptions(process.argv.slice(2));
if (typeof options === 'string') {
  process.stderr.write(`demo: ${options}\nSee npm run demo -- --help.\n`);
  process.exit(2);
}
if (options.help) {
  process.stdout.write(usage);
  process.exit(0);
}
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    if (!ending) present.say('\ncleaning up …');
    void end(130);
  });
}
// Whoever reads our output may go; what we started must still be cleaned up.
process.stdout.on('error', () => void end(1));
try {
  const whole = await demo(options);
  await end(whole ? 0 : 1);
} catch (error) {
  // Ctrl-C reaches the compiler too; that it has ended may be noticed before our own signal.
  await setImmediate();
  if (!ending) present.error(`demo: ${errorMessage(error)}`);
  await end(error instanceof MachineError ? 2 : 1);
}
