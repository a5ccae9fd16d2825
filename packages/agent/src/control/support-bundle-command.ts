/** `relight-agent support-bundle`: what somebody needs to understand this host from afar, in one file, without what is secret. */
import { hostname } from 'node:os';
import { errorMessage } from '@relight/shared/errors';
import { bundleName, type BundlePiece, writeBundle } from '@relight/shared/support-bundle';
import { loadConfig, readConfigText } from '../config/load.ts';
import { defaults } from '../config/defaults.ts';
import { DockerEngine } from '../engine/docker-engine.ts';
import { runChild } from '@relight/shared/child';
import { readHostFacts } from '../host/facts.ts';
import { lookAtMachine } from '../host/machine-facts.ts';
import { IncidentStore } from '../incidents/store.ts';
import { agentVersion } from '../version.ts';
import { hostDefaults } from './host-defaults.ts';
import { ControlClient } from './client.ts';
import { type ExitCode, type Io, stateDirOrDefault, usualConfig } from './io.ts';
import { statusLines } from './status-view.ts';
import { statusDocument } from './status.ts';
import { redactedConfig, secretsOf } from './support/redact.ts';

export interface SupportBundleOptions {
  readonly config?: string;
  readonly stateDir?: string;
  readonly output?: string;
}

const incidentsMax = 20;
const journalLines = '2000';
const callMs = 5_000;

const readme = `A support bundle of a Relight agent. Text only; no logs of workloads, no evidence of incidents.

Taken out: every value of environment and vars, of env files, token files and adopted containers, what logs.redact matches, and
what looks like a secret. Nobody can know what a secret looks like that is written into a command by hand: look through it
before you send it.
`;

/** 0 when it was written, whether the agent runs or not: then the bundle says why it could not be asked. Fails with usage. */
export async function supportBundleCommand(options: SupportBundleOptions, io: Io): Promise<ExitCode> {
  const stateDir = stateDirOrDefault(options.stateDir, io.env);
  const agent = await askAgent(stateDir, io);
  const file = options.config ?? agent.configFile ?? usualConfig;
  const config = await readConfig(file);
  const spec = await loadConfig(file, hostDefaults()).catch(() => null);
  const secrets = secretsOf(spec, config.text, stateDir);
  const pieces = [
    { name: 'README.txt', text: readme },
    { name: 'versions.json', text: json(await versions(spec?.engine.socket ?? defaults.engineSocket, io)) },
    { name: 'host.json', text: json(await facts()) },
    ...agent.pieces,
    ...config.pieces,
    ...incidents(stateDir),
    ...(spec === null ? [journalLeftOut] : await journal(io)),
  ].map(({ name, text }) => ({ name, text: secrets.text(text) }));
  const output = options.output ?? bundleName(spec?.host.name ?? hostname(), io.clock.now());
  await writeBundle(output, pieces);
  io.write(`${output}\n`);
  io.note(`${pieces.length} files, secrets taken out as far as they can be known; look through it before you send it: tar -tzf ${output}`);
  return 0;
}

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;
const lines = (values: readonly unknown[]): string =>
  values.map((value) => `${typeof value === 'string' ? value : JSON.stringify(value)}\n`).join('');

async function askAgent(stateDir: string, io: Io): Promise<{ readonly configFile?: string; readonly pieces: readonly BundlePiece[] }> {
  const client = new ControlClient(stateDir);
  try {
    const status = await client.status();
    const recent = await client.recent();
    return {
      ...(status.configuration === null ? {} : { configFile: status.configuration.file }),
      pieces: [
        { name: 'status.json', text: json(statusDocument(status)) },
        { name: 'status.txt', text: lines(statusLines(status, io.clock.now())) },
        { name: 'events.ndjson', text: lines(recent.events) },
        { name: 'agent-log.ndjson', text: lines(recent.log.map((line) => line.trimEnd())) },
      ],
    };
  } catch (thrown) {
    return { pieces: [{ name: 'status.txt', text: `the agent could not be asked: ${errorMessage(thrown)}\n` }] };
  }
}

async function readConfig(file: string): Promise<{ readonly text: string | null; readonly pieces: readonly BundlePiece[] }> {
  try {
    const text = await readConfigText(file);
    const pieces = [{ name: 'config.yaml', text: redactedConfig(text) }];
    const problem = await loadConfig(file, hostDefaults()).then(
      () => null,
      (thrown: unknown) => errorMessage(thrown),
    );
    return { text, pieces: problem === null ? pieces : [...pieces, { name: 'config-problems.txt', text: `${problem}\n` }] };
  } catch (thrown) {
    return {
      text: null,
      pieces: [{ name: 'config-problems.txt', text: `${file} cannot be shown: ${errorMessage(thrown).split('\n')[0] ?? ''}\n` }],
    };
  }
}

async function versions(socketPath: string, io: Io): Promise<unknown> {
  const engine = await new DockerEngine({ socketPath }).info({ timeoutMs: callMs }).catch((thrown: unknown) => errorMessage(thrown));
  return { agent: agentVersion, node: process.version, v8: process.versions.v8, at: new Date(io.clock.now()).toISOString(), engine };
}

const facts = async (): Promise<unknown> => ({ ...(await lookAtMachine().catch(() => ({}))), ...readHostFacts() });

/** What failed, why, and what became of it. The evidence holds what workloads have printed: it stays. */
function incidents(stateDir: string): readonly BundlePiece[] {
  const store = new IncidentStore({ stateDir, host: '', warn: () => {} });
  return store
    .ids()
    .slice(0, incidentsMax)
    .flatMap((id) => {
      const incident = store.load(id);
      return incident === null ? [] : [{ name: `incidents/${id}.json`, text: json(incident) }];
    });
}

/** Its lines are as they were printed, and the file alone says what of it is secret. */
const journalLeftOut = {
  name: 'journal.txt',
  text: 'left out: the configuration cannot be read (config-problems.txt), so nobody knows what would have to be taken out of it\n',
};

/** Of earlier lives of the agent, too: where it is a service of systemd. */
async function journal({ clock }: Io): Promise<readonly BundlePiece[]> {
  const argv = ['journalctl', '--unit=relight-agent', `--lines=${journalLines}`, '--no-pager', '--output=short-iso-precise'] as const;
  const { stdout, exitCode } = await runChild({ argv, clock, timeoutMs: callMs, outputBytesMax: 4 << 20, outputKept: 'end' });
  return exitCode === 0 && stdout !== '' ? [{ name: 'journal.txt', text: stdout }] : [];
}
