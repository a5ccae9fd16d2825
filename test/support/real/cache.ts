/** What is downloaded or compiled for the tests with real parts: once per machine, shared by all checkouts. */
import { mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { access, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { startTicks } from '../processes.ts';

const { XDG_CACHE_HOME: home = '' } = process.env;
const directory = join(home === '' ? join(homedir(), '.cache') : home, 'relight-test');
const unfinished = '.unfinished-';

/**
 * The path of `name` in the cache. What is missing is made by `make` at a path beside it and then renamed: a run that is
 * stopped leaves nothing half done, and of two runs at once the later one's result counts. The name holds the version.
 */
export async function cached(name: string, make: (path: string) => Promise<void>): Promise<string> {
  const path = join(directory, name);
  if (await exists(path)) return path;
  mkdirSync(directory, { recursive: true });
  removeUnfinished();
  const began = performance.now();
  const beside = join(directory, `${unfinished}${process.pid}-${name}`);
  try {
    await make(beside);
    await appear(beside, path);
  } finally {
    await rm(beside, { recursive: true, force: true });
  }
  console.error(`relight: made ${path} in ${Math.round((performance.now() - began) / 1_000)} s; it is kept for later runs`);
  return path;
}

/** Another run may have made the same meanwhile: a directory that is there cannot be renamed over. */
async function appear(beside: string, path: string): Promise<void> {
  try {
    if (!(await exists(path))) renameSync(beside, path);
  } catch (error) {
    if (!(await exists(path))) throw error;
  }
}

/** Of runs that were killed. */
function removeUnfinished(): void {
  for (const name of readdirSync(directory).filter((entry) => entry.startsWith(unfinished))) {
    const owner = Number(/^\d+/.exec(name.slice(unfinished.length))?.[0]);
    if (startTicks(owner) === undefined) rmSync(join(directory, name), { recursive: true, force: true });
  }
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
