/** An agent between a collector that says anything and users of its socket that ask anything. Its engine is away: nothing can be harmed. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { formatBytes } from '@relight/shared/units';
import { programs, runProgram } from '../lab.ts';
import { Service } from '../service.ts';
import { waitFor } from '../wait.ts';
import { attack, type Input, type Source } from './campaign.ts';
import { HostileCollector } from './hostile-collector.ts';
import { heldBy, probeArguments, probeEnvironment, type Held } from './memory-probe.ts';
import { mutated, mutatedText, nastyText, nastyValue, toText, type Json } from './mutate.ts';
import type { Randomness } from './randomness.ts';
import { rawBytes } from './raw-bytes.ts';

export interface FuzzAgentOptions {
  readonly directory: string;
  readonly random: Randomness;
  /** Over the socket; the collector says something all the time. */
  readonly inputs: number;
  readonly say: (line: string) => void;
}

const heapGrowthMax = 16 * 1024 ** 2;
const answerMs = 30_000;
/** A raw connection that asks half of something is left. */
const patienceMs = 30;
const uncaught = /unhandledRejection|uncaughtException|Uncaught|MaxListenersExceeded|TimeoutOverflow|"code":"internal"/;

/** Resolves with how many inputs that were. @throws with what was wrong */
export async function fuzzAgent({ directory, random, inputs, say }: FuzzAgentOptions): Promise<number> {
  const home = join(directory, 'agent');
  mkdirSync(home, { recursive: true });
  await using collector = await HostileCollector.listen(random.fork());
  const [stateDir, configFile, memoryFile, tokenFile] = ['state', 'agent.yaml', 'memory.json', 'agent.token'].map((name) =>
    join(home, name),
  ) as [string, string, string, string];
  writeFileSync(tokenFile, 'rla_of-the-fuzz\n', { mode: 0o600 });
  const config = {
    version: 1,
    host: { name: 'fuzzed', gate: { quiet_for: '0s', package_manager_idle: false, pending_reboot: 'report' } },
    collector: { url: collector.url, token_file: tokenFile },
    state_dir: stateDir,
    engine: { socket: join(home, 'no-engine.sock') },
    workloads: [{ name: 'worker', container: { name: 'fuzzed-worker', image: 'image:1' }, process: { run: 'true' } }],
  };
  writeFileSync(configFile, JSON.stringify(config));
  await using service = new Service({
    name: 'agent',
    args: [...probeArguments, programs.agent, 'run', '--config', configFile],
    env: probeEnvironment(memoryFile),
    logFile: join(home, 'agent.log'),
  });
  await service.start();
  const socket = join(stateDir, 'control.sock');
  await waitFor(async () => (await ask(socket, 'GET', '/status', null).catch(() => null)) === 200, {
    timeoutMs: 60_000,
    what: 'the agent to answer',
  });
  const check = (): void => {
    if (service.pid === undefined) throw new Error(`the agent has ended; its last words:\n${service.logTail(40)}`);
  };
  const sources: readonly Source[] = [{ name: 'socket', share: 1, lanes: 6, draw: (own) => controlInput(own, socket) }];
  await attack({ sources, random, check }, inputs * 0.3);
  const before = await heldBy(service.pid, memoryFile);
  await attack({ sources, random, check }, inputs * 0.7);
  const after = await heldBy(service.pid, memoryFile);
  expectFlat(before, after);
  // It may have been told to stay away for longer than anybody would wait.
  await service.stop();
  collector.peaceful = true;
  await service.start();
  await waitFor(() => (check(), collector.heartbeats > 0), {
    timeoutMs: 120_000,
    what: 'the agent to be back at a collector that behaves',
  });
  const status = await runProgram([programs.agent, 'status', '--state-dir', stateDir], {});
  if (![0, 1].includes(status.code)) throw new Error(`relight-agent status ended with ${status.code}: ${status.stderr}`);
  const loud = readFileSync(service.logFile, 'utf8')
    .split('\n')
    .filter((line) => uncaught.test(line));
  if (loud.length > 0) throw new Error(`${loud.length} lines of the log of the agent, the first of them:\n${loud.slice(0, 5).join('\n')}`);
  say(
    `agent: ${inputs} over its socket, ${collector.said} by its collector over ${collector.connections} connections; ${formatBytes(after.residentBytes)} resident, ${formatBytes(after.heapBytes)} of heap (${formatBytes(before.heapBytes)} before)`,
  );
  return inputs + collector.said;
}

function expectFlat(before: Held, after: Held): void {
  if (after.heapBytes - before.heapBytes > heapGrowthMax)
    throw new Error(`the agent holds ${formatBytes(after.heapBytes)} instead of ${formatBytes(before.heapBytes)}`);
}

const bodies: readonly (() => Json)[] = [
  () => ({ action: 'restart', workload: 'worker', level: 'process' }),
  () => ({ action: 'pause', workload: 'worker', forMs: 1_000, reason: 'a reason' }),
  () => ({ action: 'resume' }),
  () => ({ dryRun: true }),
];

function controlInput(random: Randomness, socket: string): Input {
  if (random.chance(0.1)) return rawInput(random, socket);
  const path = random.chance(0.9)
    ? random.pick(['/status', '/recent', '/actions', '/actions', '/reload'])
    : `/${encodeURIComponent(nastyText(random).toWellFormed()).slice(0, 9_000)}`;
  const posts = path === '/actions' || path === '/reload';
  const method = random.chance(0.1) ? random.pick(['GET', 'POST', 'PUT', 'DELETE', 'OPTIONS']) : posts ? 'POST' : 'GET';
  const good = random.pick(bodies)();
  const text = toText(random.chance(0.2) ? good : random.chance(0.9) ? mutated(random, good) : nastyValue(random));
  const body = method === 'GET' ? null : random.chance(0.1) ? mutatedText(random, text) : text;
  return {
    weight: 1,
    what: () => `${method} ${path} ${body?.slice(0, 1_000) ?? ''}`,
    async run() {
      const status = await ask(socket, method, path, body).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ECONNRESET' || error.code === 'EPIPE') return 0;
        throw error;
      });
      return status >= 500 ? `it answered ${status}` : null;
    },
  };
}

function ask(socketPath: string, method: string, path: string, body: string | null): Promise<number> {
  return new Promise((resolve, reject) => {
    const call = request(
      {
        socketPath,
        method,
        path,
        headers: { host: 'localhost', 'content-type': 'application/json' },
        signal: AbortSignal.timeout(answerMs),
      },
      (response) => {
        response.resume();
        response.on('error', () => undefined);
        response.once('close', () => resolve(response.statusCode ?? 0));
      },
    );
    call.once('error', reject);
    call.end(body ?? undefined);
  });
}

function rawInput(random: Randomness, path: string): Input {
  const bytes = rawBytes(random);
  return {
    weight: 1,
    what: () => JSON.stringify(bytes.toString('latin1').slice(0, 2_000)),
    run: () =>
      new Promise((resolve) => {
        const client = connect(path);
        client.on('error', () => undefined);
        client.resume();
        const leave = setTimeout(() => client.destroy(), patienceMs);
        client.once('close', () => {
          clearTimeout(leave);
          resolve(null);
        });
        client.write(bytes);
      }),
  };
}
