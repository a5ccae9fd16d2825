/** What is left of a container, and what it said last. */
import { setImmediate as yieldToLoop } from 'node:timers/promises';
import { closeSync, fstatSync, readFileSync, readSync } from 'node:fs';
import { formatBytes } from '@relight/shared/units';
import type { Engine } from '../engine/engine.ts';
import { listPids, readCgroup, readStat, type ProcStat } from '../stages/proc.ts';
import { openRegular, readTail, segmentsOf } from '../stages/run-files.ts';
import { notUrgentMs, type EvidenceSource, type Finding, type Subject } from './evidence.ts';

export interface ContainerEvidenceOptions {
  readonly engine: Pick<Engine, 'inspect' | 'inspectRaw'>;
  readonly runRoot: string;
  readonly procRoot?: string;
}

/** The follower of the logs keeps at least 64 KiB at the end of every file. */
const tailBytes = 96 * 1024;
/** json-file wraps each line into some 80 bytes more. */
const jsonTailBytes = 2 * tailBytes;
/** Of each source, by name: a container has as many names as its programs like. */
const namesMax: Readonly<Record<string, number>> = { process: 8, mount: 8, setup: 3 };
const pidsPerTurn = 256;
const processesMax = 500;
/** Memory is told in pages, of 4 KiB on everything that Relight runs on. */
const pageBytes = 4_096;

export function containerEvidence({ engine, runRoot, procRoot = '/proc' }: ContainerEvidenceOptions): readonly EvidenceSource[] {
  const source = (name: string, title: string, light: boolean, afterMs: number, read: EvidenceSource['read']): EvidenceSource => ({
    name,
    title,
    light,
    afterMs,
    needsContainer: true,
    read,
  });
  return [
    source('processes', 'processes of the container', false, 0, (subject) => processes(procRoot, subject)),
    // At once: a moment later the newest run is the next one.
    source('log:run', 'output of its runs', true, 0, async (subject) => runLogs(runRoot, subject)),
    source('log:container', "the container's own output", true, notUrgentMs, (subject, signal) => containerLog(engine, subject, signal)),
    source('inspect', "the engine's document of the container", false, 0, (subject, signal) => inspect(engine, subject, signal)),
  ];
}

async function processes(procRoot: string, { container }: Subject): Promise<Finding[]> {
  if (container === null || container.id === '') throw new Error('there is no container');
  const found: ProcStat[] = [];
  for (const [index, pid] of listPids(procRoot).entries()) {
    if (index % pidsPerTurn === pidsPerTurn - 1) await yieldToLoop();
    const stat = readCgroup(procRoot, pid)?.includes(container.id) === true ? readStat(procRoot, pid) : null;
    if (stat !== null) found.push(stat);
  }
  if (found.length === 0) throw new Error('none: the container was dead already');
  const lines = tree(found).map(({ stat, depth }) => {
    const resident = residentBytes(procRoot, stat.pid);
    const memory = resident === null ? '-' : formatBytes(resident);
    return `${String(stat.pid).padStart(8)}  ${stat.state}  ${memory.padStart(10)}  ${'  '.repeat(depth)}${stat.comm}`;
  });
  return [{ text: [`     pid  state    memory  name`, ...lines].slice(0, processesMax).join('\n'), keep: 'start' }];
}

/** statm needs no lock of the process, so it never waits behind a hung mount as its command line would. */
function residentBytes(procRoot: string, pid: number): number | null {
  try {
    const pages = Number(readFileSync(`${procRoot}/${pid}/statm`, 'latin1').split(' ')[1]);
    return Number.isSafeInteger(pages) ? pages * pageBytes : null;
  } catch {
    return null;
  }
}

/** Parents before their children. */
function tree(stats: readonly ProcStat[]): readonly { readonly stat: ProcStat; readonly depth: number }[] {
  // A container that forks without end has tens of thousands.
  const children = Map.groupBy(stats, ({ ppid }) => ppid);
  const pids = new Set(stats.map(({ pid }) => pid));
  const lines: { stat: ProcStat; depth: number }[] = [];
  const walk = (parents: readonly ProcStat[], depth: number): void => {
    for (const stat of parents) {
      lines.push({ stat, depth });
      if (depth < 20) walk(children.get(stat.pid) ?? [], depth + 1);
    }
  };
  walk(
    stats.filter(({ ppid }) => !pids.has(ppid)),
    0,
  );
  return lines;
}

/** Of the process and of every mount the newest run, the last of them; of the setup the last few steps. */
function runLogs(runRoot: string, { workload, generation, lines }: Subject): Finding[] {
  const newestFirst = (workload === null || generation === null ? [] : segmentsOf(runRoot, workload, generation))
    .map((file) => ({ ...file, n: Number.parseInt(file.key.run, 10), start: Number(/~(\d+)$/.exec(file.key.run)?.[1] ?? 1) }))
    .toSorted((a, b) => b.n - a.n || b.start - a.start);
  const chosen = new Map<string, (typeof newestFirst)[number]>();
  const counts = new Map<string, number>();
  for (const run of newestFirst) {
    const { source } = run.key;
    const name = `${source}${run.key.run.replace(/^\d+/, '').replace(/~\d+$/, '')}`;
    const count = counts.get(source) ?? 0;
    if (chosen.has(name) || count >= (namesMax[source] ?? 0)) continue;
    counts.set(source, count + 1);
    chosen.set(name, run);
  }
  if (chosen.size === 0) throw new Error('nothing ran in this container yet');
  return [...chosen].toReversed().map(([name, { key, path }]) => ({
    name: `log:${name}`,
    title: `last lines of ${name.replace('-', ' ')}, run ${Number.parseInt(key.run, 10)} in generation ${key.generation}`,
    text: lastOf(readTail(path, tailBytes), lines),
    keep: 'end',
  }));
}

const lastOf = (text: string, lines: number): string => text.replace(/\n$/, '').split('\n').slice(-lines).join('\n');

async function containerLog(
  engine: ContainerEvidenceOptions['engine'],
  { container, lines }: Subject,
  signal: AbortSignal,
): Promise<Finding[]> {
  if (container === null) throw new Error('there is no container');
  const facts = await engine.inspect(container.id, { signal });
  if (facts === null) throw new Error('the container is gone, and its output with it');
  if (facts.logDriver !== 'json-file' || facts.logPath === '')
    throw new Error(`log driver ${facts.logDriver} keeps no file that can be read`);
  return [{ text: lastOf(jsonLines(tailOf(facts.logPath)), lines), keep: 'end' }];
}

function tailOf(path: string): string {
  const fd = openRegular(path);
  if (fd === null) throw new Error('its log file is gone');
  try {
    const { size } = fstatSync(fd);
    const from = Math.max(0, size - jsonTailBytes);
    const buffer = Buffer.alloc(size - from);
    const text = buffer.toString('utf8', 0, readSync(fd, buffer, 0, buffer.length, from));
    return from > 0 ? text.slice(text.indexOf('\n') + 1) : text;
  } finally {
    closeSync(fd);
  }
}

/** The engine's own format: one object a line, `log` with its newline. */
function jsonLines(text: string): string {
  return text
    .split('\n')
    .flatMap((line) => {
      try {
        const { log, time } = JSON.parse(line) as { log?: unknown; time?: unknown };
        return typeof log === 'string' ? [`${String(time).slice(0, 23)}Z  ${log.replace(/\r?\n$/, '')}`] : [];
      } catch {
        return [];
      }
    })
    .join('\n');
}

async function inspect(engine: ContainerEvidenceOptions['engine'], { container }: Subject, signal: AbortSignal): Promise<Finding[]> {
  if (container === null) throw new Error('there is no container');
  const document = await engine.inspectRaw(container.id, { signal });
  if (document === null) throw new Error('the container is gone');
  return [{ text: JSON.stringify(withoutValues(document), null, 1), keep: 'start' }];
}

/** Names of variables tell what was set; their values may be anybody's secret. */
export function withoutValues(document: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { Config: config, ...rest } = document;
  if (typeof config !== 'object' || config === null) return rest;
  const { Env: env, ...others } = config as { readonly Env?: unknown };
  const names = Array.isArray(env) ? env.map((pair) => `${String(pair).split('=', 1)[0] ?? ''}=[redacted]`) : [];
  // State first: why it ended is what is looked for.
  const { State: state, ...about } = rest;
  return { State: state, ...about, Config: { ...others, Env: names } };
}
