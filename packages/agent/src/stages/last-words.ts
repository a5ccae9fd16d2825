/** What a run said last: there stands why it ended. When it complains of a port, the host knows who has it. */
import { classify, portOf } from '../supervisor/classify.ts';
import { holderOfPort } from '@relight/shared/port-holder';
import type { Engine } from '../engine/engine.ts';
import type { RunHandle } from '../supervisor/op.ts';
import { blamesDaemon, daemonReasons } from '../supervisor/ray-words.ts';
import { splitLines } from './output.ts';
import { readRayLogs } from './ray-logs.ts';
import { partsOf } from './run-files.ts';
import { type Runs, runDirectoryTarget } from './runs.ts';

/** Of 200 lines, the most that is looked at, few are longer. */
const bytesMax = 64 * 1_024;

export interface LastWords {
  readonly lastLines: readonly string[];
  /** `python3 (pid 1234)` */
  readonly portHolder?: string;
}

export interface LastWordsContext {
  readonly runs: Pick<Runs, 'tail'>;
  readonly engine: Pick<Engine, 'exec'>;
  /** Without secrets. */
  readonly redact: (text: string) => string;
  /** Null: it is dead. */
  readonly container: { readonly id: string; readonly pid: number } | null;
  /** Told of what could not be read; what was read counts all the same. */
  readonly onFault: (thrown: unknown) => void;
}

export async function lastWords(run: RunHandle, exitCode: number | null, context: LastWordsContext): Promise<LastWords> {
  const lastLines: string[] = [];
  try {
    const { workload, generation } = partsOf(run);
    lastLines.push(...splitLines(context.redact(await context.runs.tail(run, workload, generation, bytesMax))));
    if (run.kind !== 'process' || exitCode === 0) return { lastLines };
    const daemons = blamesDaemon(lastLines) ? splitLines(context.redact(await rayLogs(run, context))) : [];
    // At the end: what the classification and a person look at first.
    lastLines.push(...daemonReasons([...lastLines, ...daemons]));
    const portHolder = await holderOfTakenPort(lastLines, exitCode, context.container?.pid);
    return { lastLines, ...(portHolder === null ? {} : { portHolder }) };
  } catch (thrown) {
    context.onFault(thrown);
    return { lastLines };
  }
}

async function rayLogs(run: RunHandle, { engine, container, onFault }: LastWordsContext): Promise<string> {
  if (container === null) return '';
  try {
    return await readRayLogs(engine, container.id, `${runDirectoryTarget}/${partsOf(run).n}.process.session`);
  } catch (thrown) {
    onFault(thrown);
    return '';
  }
}

/** Null when it complains of none, or nobody has it by now. */
async function holderOfTakenPort(lines: readonly string[], exitCode: number | null, pid: number | undefined): Promise<string | null> {
  const known = classify('process', lines, exitCode);
  const port = known?.code === 'address-in-use' ? portOf(known.cause) : null;
  return port === null ? null : holderOfPort(port, 'tcp', { network: pid });
}
