/** What a process of Node really holds: it collects its garbage when it is asked, and then says so in a file. */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { signalProcess } from '../processes.ts';
import { waitFor } from '../wait.ts';

export interface Held {
  readonly residentBytes: number;
  /** Of the main thread, and what lives outside of it: buffers. */
  readonly heapBytes: number;
}

const variable = 'FUZZ_MEMORY_FILE';
/** Twice: what the first has freed may hold more. */
const script = `import { renameSync, writeFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
if (isMainThread) process.on('SIGUSR2', () => {
  gc(); gc();
  writeFileSync(process.env.${variable} + '.new', JSON.stringify(process.memoryUsage()));
  renameSync(process.env.${variable} + '.new', process.env.${variable});
});`;

/** For Node, before the program. */
export const probeArguments: readonly string[] = ['--expose-gc', '--import', `data:text/javascript,${encodeURIComponent(script)}`];
export const probeEnvironment = (file: string): Readonly<Record<string, string>> => ({ [variable]: file });

export async function heldBy(pid: number | undefined, file: string): Promise<Held> {
  if (pid === undefined) throw new Error('it does not run');
  rmSync(file, { force: true });
  signalProcess(pid, 'SIGUSR2');
  await waitFor(() => existsSync(file), { timeoutMs: 60_000, what: 'what the process holds' });
  const { rss, heapUsed, external } = JSON.parse(readFileSync(file, 'utf8')) as NodeJS.MemoryUsage;
  return { residentBytes: rss, heapBytes: heapUsed + external };
}
