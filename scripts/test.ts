/**
 * `npm test`: builds the bundles and runs every tier the machine can have, and says in one line each what it leaves out and
 * why; in CI nothing is left out. Arguments go to vitest (`npm test -- --project unit`). Ends with `N passed, N failed`.
 */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { errorMessage } from '@relight/shared/errors';
import { removeAbandonedEngines } from '../test/support/engine.ts';
import { enginePrograms, ensurePrograms, MachineError, ownEngine, testImagePrograms } from '../test/support/engine-install.ts';
import { removeAbandonedLabs } from '../test/support/lab.ts';
import { ownedDirectory, removeAbandonedDirectories } from '../test/support/owned-directory.ts';
import { prepareRealParts } from '../test/support/real/ray-image.ts';
import { prepareMachineImage } from '../test/support/system/machine-image.ts';
import { buildAll } from './build.ts';
import { runTool } from './run.ts';

interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly testResults: readonly { readonly status: string; readonly assertionResults: readonly unknown[] }[];
}

/** A run that was stopped has no report; neither has one with options that vitest does not know. */
async function readReport(file: string): Promise<Report | undefined> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as Report;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Tiers that need what not every machine can have: the project's name, what it is, and what makes it ready. */
const optional = [
  { project: 'real', what: 'real Ray, gcsfuse and Prometheus (npm run test:real)', prepare: prepareRealParts },
  { project: 'system', what: 'the packages on a machine with systemd (npm run test:system)', prepare: prepareMachineImage },
] as const;

/** The projects of a whole run. Fails in CI where one of them cannot be had. */
async function wholeRun(): Promise<readonly string[]> {
  const projects = ['unit', 'integration'];
  // On a new machine each of them downloads for minutes: side by side.
  const prepared = await Promise.allSettled(optional.map(({ prepare }) => prepare()));
  for (const [index, { project, what }] of optional.entries()) {
    const outcome = prepared[index];
    if (outcome?.status === 'fulfilled') projects.push(project);
    else if (isCi) throw outcome?.reason;
    else console.error(`test: left out: ${what}: ${errorMessage(outcome?.reason).split('\n')[0]}`);
  }
  return projects.map((project) => `--project=${project}`);
}

const isCi = (process.env['CI'] ?? '') !== '' && process.env['CI'] !== 'false';

/** Runs vitest and prints the closing line; resolves with the exit code. */
async function runTests(args: readonly string[], file: string): Promise<number> {
  const code = await runTool('vitest', ['run', '--reporter=default', '--reporter=json', `--outputFile.json=${file}`, ...args]);
  const report = await readReport(file);
  if (report === undefined) {
    console.log('0 passed, 1 failed');
    return code > 128 ? code : 2;
  }
  // A file that could not even be loaded has no assertions; it counts as one failure.
  const broken = report.testResults.filter(({ status, assertionResults }) => status === 'failed' && assertionResults.length === 0).length;
  const failed = report.numFailedTests + broken;
  console.log(`${report.numPassedTests} passed, ${failed === 0 && code !== 0 ? 1 : failed} failed`);
  if (code > 128) return code;
  return code === 0 && failed === 0 && report.numPassedTests > 0 ? 0 : 1;
}

async function main(args: readonly string[]): Promise<number> {
  // A whole run needs all of it: better said now than after the unit tests. Part of a run asks for the rest when it needs it.
  const isWhole = args.length === 0;
  await (isWhole ? ensurePrograms([...enginePrograms, ...testImagePrograms], ownEngine) : ensurePrograms(['busybox']));
  await buildAll();
  const directory = ownedDirectory('relight-report-');
  try {
    return await runTests(isWhole ? await wholeRun() : args, join(directory, 'report.json'));
  } finally {
    await rm(directory, { recursive: true, force: true });
    // Of a run that was stopped.
    await removeAbandonedEngines();
    removeAbandonedLabs();
    for (const prefix of ['relight-report-', 'relight-unit-', 'relight-packages-', 'relight-machine-']) removeAbandonedDirectories(prefix);
  }
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof MachineError)) throw error;
  console.error(`test: ${error.message}`);
  if (process.argv.length === 2) console.error('The unit tests need only busybox, and no root: npm run test:unit');
  process.exitCode = 2;
}
