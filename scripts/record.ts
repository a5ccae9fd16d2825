/**
 * `npm run record`, before a release: lets an agent and a collector of this version work with each other on an engine of their own, and
 * keeps in test/releases/VERSION what later versions must understand (test/support/release-recording.ts says what is in it).
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ControlClient } from '@relight/agent/control/client';
import type { ApiIncident } from '@relight/shared/api';
import { ownSchemas } from '@relight/shared/protocol-schemas.test-data';
import { version } from '@relight/shared/version';
import { dockerApi } from '../test/support/docker-api.ts';
import { startPrivateEngine } from '../test/support/engine.ts';
import { buildTestImage } from '../test/support/image.ts';
import { startLab, type Lab, type LabAgent } from '../test/support/lab.ts';
import { linesOf, recordedHost as host, releasesDirectory, type RecordedFacts } from '../test/support/release-recording.ts';
import { waitFor } from '../test/support/wait.ts';
import { startWireTap, type WireTap } from '../test/support/wire-tap.ts';
import { buildAll } from './build.ts';

const into = join(releasesDirectory, version);
const linesPerStart = 20;
const worker = 'worker';

/** In the form of the agent's YAML: a worker that is killed, one whose lines are too many, one that a person has paused. */
function workloads(image: string): readonly Readonly<Record<string, unknown>>[] {
  const lines = (count: number): string => `i=0; while [ $i -lt ${count} ]; do i=$((i+1)); echo "line $i"; done; exec sleep infinity`;
  const restart = { process: { initial: '100ms', max: '1s' }, container: { initial: '100ms', max: '1s' } };
  const workload = (name: string, run: string): Readonly<Record<string, unknown>> => ({
    name,
    container: { name: `recorded-${name}`, image, pull_policy: 'never', network_mode: 'none', init: true, command: ['sleep', 'infinity'] },
    setup: [{ name: 'greeting', run: 'echo set up' }],
    process: { run, stop_timeout: '1s' },
    restart,
  });
  return [
    workload(worker, lines(linesPerStart)),
    { ...workload('chatty', lines(200)), logs: { rate_limit: '10 per 1h' } },
    workload('paused', 'exec sleep infinity'),
  ];
}

async function live(lab: Lab, tap: WireTap, agent: LabAgent, socket: string): Promise<Pick<RecordedFacts, 'delivered' | 'undelivered'>> {
  const { fleet } = lab;
  const control = new ControlClient(agent.stateDir);
  const relight = async (...args: readonly string[]): Promise<void> => {
    const { code, stderr } = await lab.relight(...args);
    if (code !== 0) throw new Error(`relight ${args.join(' ')}: ${stderr}`);
  };
  const heard = (type: string): Promise<unknown> =>
    waitFor(() => tap.heard.some(({ isText, payload }) => isText && payload.includes(`"type":"${type}"`)), { what: type });
  const killed = (): Promise<void> => dockerApi(socket).kill(`recorded-${worker}`);
  const lines = async (generation: number): Promise<readonly string[]> =>
    linesOf(await fleet.logs({ host, workload: worker, source: 'process' })).filter((line) => line.startsWith(`${generation} `));
  const written = (generation: number): Promise<unknown> =>
    waitFor(async () => (await lines(generation)).length === linesPerStart, { what: `the lines of generation ${generation}` });

  await fleet.waitForPhase(host, worker, 'ready');
  await written(1);
  await relight('pause', `${host}/paused`, '--reason', 'recorded');
  await fleet.waitForPhase(host, 'paused', 'paused');
  const tail = await fleet.api.stream('logs/tail', { host });
  await heard('watch');
  tail.destroy();
  await killed();
  await written(2);
  await waitFor(async () => (await fleet.api.list<ApiIncident>('incidents', { host, state: 'closed' })).items.length > 0, {
    what: 'the incident',
    timeoutMs: 60_000,
  });
  for (const type of ['gap', 'incident-evidence', 'action-result', 'clock']) await heard(type);
  // It comes back to a collector that knows it.
  await agent.service.stop();
  await heard('goodbye');
  await fleet.waitForHost(host, 'stopped');
  await agent.service.start();
  await fleet.waitForHost(host, 'connected');
  await fleet.waitForPhase(host, worker, 'ready');
  await waitFor(async () => (await control.status()).collector?.lagEvents === 0, { what: 'every event to be acknowledged' });
  const delivered = linesOf(await fleet.logs({ host, workload: worker, source: 'process' }));

  await lab.collector.stop();
  await heard('drain');
  await killed();
  const back = async (): Promise<boolean> =>
    (await control.status()).workloads.some(({ name, generation, phase }) => name === worker && generation === 3 && phase === 'ready');
  await waitFor(back, { what: 'the worker to be ready without a collector', timeoutMs: 60_000 });
  await agent.service.stop();
  return { delivered, undelivered: Array.from({ length: linesPerStart }, (_, index) => `3 line ${index + 1}`) };
}

/** Nobody's: sockets, and what a machine is asked for anew. */
const leftOut = ['*.sock', 'lock.*'];

function pack(name: string, directory: string): void {
  const exclude = leftOut.map((pattern) => `--exclude=${pattern}`);
  const reproducible = ['--sort=name', '--owner=0', '--group=0', '--numeric-owner'];
  execFileSync('tar', ['-czf', join(into, `${name}.tar.gz`), ...exclude, ...reproducible, '-C', directory, '.']);
}

await buildAll();
await using engine = await startPrivateEngine();
const image = await buildTestImage(engine);
await using lab = await startLab({ engineSocket: engine.socket });
await using tap = await startWireTap(lab.url);
const recorded = workloads(image);
/** What is mounted on the machine that records is nobody's business; evidence lists it. */
const elsewhere = '^/(home|media|mnt|opt|root|srv)(/|$)';
const ownMounts = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c'];
const through = [...ownMounts, `awk '$5 ~ "${elsewhere}" {print $5}' /proc/self/mountinfo | xargs -r umount -l; exec "$@"`, 'sh'];
const tokenFile = join(lab.directory, 'hosts', host, 'agent.token');
const config = { collector: { url: tap.url, token_file: tokenFile } };
const agent = await lab.addAgent({ host, workloads: recorded, config, service: { through } });
const lived = await live(lab, tap, agent, engine.socket);

rmSync(into, { recursive: true, force: true });
mkdirSync(into, { recursive: true });
const keep = (name: string, text: string): void => writeFileSync(join(into, name), text);
const { agentId } = JSON.parse(readFileSync(join(agent.stateDir, 'identity.json'), 'utf8')) as { readonly agentId: string };
const followed = readdirSync(agent.stateDir, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.log'));
const facts: RecordedFacts = {
  version,
  agentId,
  agentToken: readFileSync(tokenFile, 'utf8').trim(),
  operatorToken: readFileSync(lab.operatorTokenFile, 'utf8').trim(),
  workloads: recorded,
  ...lived,
  inodes: Object.fromEntries(followed.map((path) => [path, statSync(join(agent.stateDir, path)).ino])),
};
keep('facts.json', `${JSON.stringify(facts, null, 2)}\n`);
keep('protocol.json', `${JSON.stringify(ownSchemas(), null, 2)}\n`);
const messages = tap.heard.map(({ from, isText, payload }) =>
  JSON.stringify(isText ? { from, text: JSON.parse(payload.toString('utf8')) as unknown } : { from, block: payload.toString('base64') }),
);
keep('wire.ndjson', `${messages.join('\n')}\n`);
pack('agent-state', agent.stateDir);
pack('collector-data', join(lab.directory, 'collector'));
console.log(into);
