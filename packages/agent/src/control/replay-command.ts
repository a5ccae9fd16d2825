/** `relight-agent replay`: the recorded inputs, decided again, also under another configuration. Reads files; touches nothing. */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { isoTime } from '@relight/shared/api';
import { RelightError } from '@relight/shared/errors';
import { loadConfig } from '../config/load.ts';
import type { AgentSpec } from '../config/spec.ts';
import { replay, type Replay, type ReplayedStep } from '../supervisor/replay.ts';
import { agentVersion } from '../version.ts';
import { journalDirectory, readJournal, shortDigest } from '../workload-journal.ts';
import { hostDefaults } from './host-defaults.ts';
import { type ExitCode, type Io, mustBeReadable, stateDirOrDefault } from './io.ts';
import { type ReplayDocument, replayDocument, replayLines, type Span } from './replay-view.ts';
import { type WhatIfDocument, whatIfDocument, whatIfLines } from './what-if-view.ts';

export interface ReplayOptions {
  readonly workload?: string;
  /** Another configuration, to compare with. */
  readonly config?: string;
  /** Epoch milliseconds. */
  readonly since?: number;
  readonly until?: number;
  readonly stateDir?: string;
  readonly json?: boolean;
}

type Told = ReplayDocument & { readonly whatIf?: WhatIfDocument };

/** 1 when today's supervisor decides otherwise, or when nothing is recorded of what was asked for. */
export async function replayCommand(id: string | undefined, options: ReplayOptions, io: Io): Promise<ExitCode> {
  const stateDir = stateDirOrDefault(options.stateDir, io.env);
  mustBeReadable(stateDir);
  const config = options.config === undefined ? null : await loadConfig(options.config, hostDefaults());
  const incident = id === undefined ? null : readIncident(stateDir, id);
  const span: Span = { from: options.since ?? incident?.from ?? 0, to: options.until ?? incident?.to ?? Number.MAX_SAFE_INTEGER };
  const chosen = options.workload ?? incident?.workload ?? null;
  const workloads = chosen === null ? recordedWorkloads(stateDir) : [chosen];
  const told = workloads.flatMap((workload) => documentOf(workload, stateDir, span, id ?? null, config) ?? []);
  if (told.length === 0)
    throw new RelightError('not-found', `nothing is recorded of that time${reach(stateDir, workloads)}`, {
      advice: 'Choose another time with --since and --until, or leave them out.',
    });
  io.write(options.json === true ? `${JSON.stringify({ replays: told }, null, 2)}\n` : told.map(textOf).join('\n'));
  return told.every(({ exact }) => exact) ? 0 : 1;
}

const textOf = (told: Told): string =>
  [...replayLines(told), ...(told.whatIf === undefined ? [] : ['', ...whatIfLines(told.whatIf)]), ''].join('\n');

function documentOf(workload: string, stateDir: string, span: Span, incident: string | null, config: AgentSpec | null): Told | undefined {
  const replayed = replay(readJournal(journalDirectory(stateDir, workload)), shortDigest);
  const steps = within(replayed, span);
  const [first] = steps;
  if (first === undefined) return undefined;
  const document = replayDocument(workload, incident, replayed, steps, agentVersion);
  if (config === null) return document;
  const spec = config.workloads.find(({ name }) => name === workload);
  if (spec === undefined)
    throw new RelightError('not-found', `${config.file} has no workload ${workload}`, {
      advice: `It has: ${config.workloads.map(({ name }) => name).join(', ') || 'none'}. Name the one that is meant: --workload NAME.`,
    });
  return { ...document, whatIf: whatIfDocument(basename(config.file), unbroken(steps, first), spec) };
}

const within = ({ steps }: Replay, { from, to }: Span): readonly ReplayedStep[] =>
  steps.filter(({ input }) => input.at >= from && input.at <= to);

/** Up to where inputs are missing, or another life of the agent begins: what came before says nothing about what came after. */
function unbroken(steps: readonly ReplayedStep[], first: ReplayedStep): readonly ReplayedStep[] {
  const end = steps.findIndex(({ snapshot }) => snapshot !== first.snapshot && snapshot.why !== 'segment');
  return end < 0 ? steps : steps.slice(0, end);
}

function reach(stateDir: string, workloads: readonly string[]): string {
  const times = workloads.flatMap((workload) =>
    replay(readJournal(journalDirectory(stateDir, workload)), shortDigest).steps.map(({ input }) => input.at),
  );
  return times.length === 0
    ? `; there is no journal of ${workloads.join(', ')} in ${stateDir}`
    : `; the journal reaches from ${isoTime(Math.min(...times))} to ${isoTime(Math.max(...times))}`;
}

function recordedWorkloads(stateDir: string): readonly string[] {
  const directory = join(stateDir, 'journal');
  try {
    const names = readdirSync(directory);
    if (names.length > 0) return names.toSorted();
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT') throw thrown;
  }
  throw new RelightError('not-found', `nothing is recorded in ${directory}`, {
    advice: 'Give the directory that the agent runs with, with --state-dir.',
  });
}

/** An incident begins when it happened, which may be before it was noticed, and ends when the workload was ready again. */
function readIncident(stateDir: string, id: string): Span & { readonly workload: string | null } {
  const path = join(stateDir, 'incidents', id, 'incident.json');
  if (!/^[\w-]+$/.test(id))
    throw new RelightError('usage', `"${id}" is not the id of an incident`, { advice: 'List them: relight-agent incidents.' });
  try {
    const known = JSON.parse(readFileSync(path, 'utf8')) as {
      readonly workload: string | null;
      readonly openedAt: number;
      readonly failedAt?: number;
      readonly closedAt: number | null;
    };
    const from = Math.min(known.openedAt, known.failedAt ?? known.openedAt);
    return { workload: known.workload, from, to: known.closedAt ?? Number.MAX_SAFE_INTEGER };
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT')
      throw new RelightError('config-unreadable', `${path} cannot be read: ${(thrown as Error).message}`, { cause: thrown });
    throw new RelightError('not-found', `there is no incident ${id} in ${stateDir}`, {
      advice: 'Incidents older than the state directory keeps are gone; --since and --until choose a time instead.',
    });
  }
}
