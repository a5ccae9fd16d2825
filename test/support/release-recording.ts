/**
 * What a released version has left for those that come after it (test/releases/VERSION, made by `npm run record`):
 *
 *   protocol.json          every message of both sides as JSON Schema
 *   wire.ndjson            what an agent and a collector of that version have really said to each other
 *   agent-state.tar.gz     the state directory of that agent, with events and lines that were never delivered
 *   collector-data.tar.gz  the data directory of that collector
 *   facts.json             what is known of them otherwise: names, tokens (of nobody), counts
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readMachineId } from '@relight/agent/host/machine-id';
import type { ApiLogEntry } from '@relight/shared/api';
import type { ProtocolSchemas } from '@relight/shared/protocol-schemas.test-data';

export const releasesDirectory = join(import.meta.dirname, '../releases');

/** The folders there, by version; a test asks each of them. */
export const releases = (): readonly string[] => readdirSync(releasesDirectory).toSorted();

export const recordedHost = 'recorded-host';

export interface RecordedFacts {
  readonly version: string;
  readonly agentId: string;
  readonly agentToken: string;
  readonly operatorToken: string;
  /** In the form of the agent's YAML. */
  readonly workloads: readonly Readonly<Record<string, unknown>>[];
  /** Of the process of `worker`, as linesOf has them: what the collector has, and what the agent has not delivered. */
  readonly delivered: readonly string[];
  readonly undelivered: readonly string[];
  /** Path below the state directory → inode, of the files whose lines the agent follows: it knows them by that. */
  readonly inodes: Readonly<Record<string, number>>;
}

/** `GENERATION LINE`; a gap is `gap`. */
export const linesOf = (entries: readonly ApiLogEntry[]): readonly string[] =>
  entries.map((entry) => ('line' in entry ? `${entry.generation} ${entry.line}` : 'gap'));

export interface RecordedMessage {
  readonly from: 'agent' | 'collector';
  /** A text frame. */
  readonly text?: Readonly<Record<string, unknown>> & { readonly type: string };
  /** A binary one, in base64. */
  readonly block?: string;
}

const read = (release: string, name: string): string => readFileSync(join(releasesDirectory, release, name), 'utf8');

export const recordedFacts = (release: string): RecordedFacts => JSON.parse(read(release, 'facts.json')) as RecordedFacts;
export const recordedProtocol = (release: string): ProtocolSchemas => JSON.parse(read(release, 'protocol.json')) as ProtocolSchemas;
export const recordedMessages = (release: string): readonly RecordedMessage[] =>
  read(release, 'wire.ndjson')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as RecordedMessage);

export function unpackCollectorData(release: string, directory: string): void {
  unpack(release, 'collector-data', directory);
}

/** As if the disk of that agent's machine were this one: for the same machine, and with the same files. */
export function unpackAgentState(release: string, stateDir: string): void {
  unpack(release, 'agent-state', stateDir);
  const { agentId, inodes } = recordedFacts(release);
  writeFileSync(join(stateDir, 'identity.json'), JSON.stringify({ agentId, machineId: readMachineId({ stateDir }) }));
  const now = new Map(Object.entries(inodes).map(([path, inode]) => [inode, statSync(join(stateDir, path)).ino]));
  const positions = join(stateDir, 'logs/segments.json');
  const text = readFileSync(positions, 'utf8');
  writeFileSync(
    positions,
    text.replaceAll(/"inode":(\d+)/g, (_, inode: string) => `"inode":${now.get(Number(inode)) ?? inode}`),
  );
}

/** `directory` is made. */
function unpack(release: string, name: string, directory: string): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  execFileSync('tar', ['-xzf', join(releasesDirectory, release, `${name}.tar.gz`), '--no-same-owner', '-C', directory]);
}
