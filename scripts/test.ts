/**
 * `npm test`: builds the bundles and runs every tier the machine can have, side by side as lanes.ts has it, and says in one line each
 * what it leaves out and why; in CI nothing is left out. Arguments go to vitest (`npm test -- --project unit`). Ends with
 * `N passed, N failed`.
 */
import { readFile, rm } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { errorMessage } from '@relight/shared/errors';
import { removeAbandonedEngines } from '../test/support/engine.ts';
import {
  enginePrograms,
  ensurePrograms,
  MachineError,
  ownEngine,
  singleFilePrograms,
  testImagePrograms,
} from '../test/support/engine-install.ts';
import { removeAbandonedLabs } from '../test/support/lab.ts';
import { ownedDirectory, removeAbandonedDirectories } from '../test/support/owned-directory.ts';
import { prepareRealParts } from '../test/support/real/ray-image.ts';
import { prepareMachineImage } from '../test/support/system/machine-image.ts';
import { buildAll } from './build.ts';
import { type Outcome, outcomeOf, type Plan, planOf, type Report, sumOf, wholePlan } from './lanes.ts';
import { root, runTool } from './run.ts';

/** A run that was stopped has no report; neither has one with options that vitest does not know. */
async function readReport(file: string): Promise<Report | undefined> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as Report;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function prepareSystem(): Promise<void> {
  await ensurePrograms(['docker-compose', 'dpkg-deb']);
  await prepareMachineImage();
}

/** Tiers that need what not every machine can have: the project's name, what it is, and what makes it ready. */
const optional = [
  { project: 'real', what: 'real Ray, gcsfuse and Prometheus (npm run test:real)', prepare: prepareRealParts },
  { project: 'system', what: 'the packages on a machine with systemd (npm run test:system)', prepare: prepareSystem },
] as const;

/** The projects of a whole run. Fails in CI where one of them cannot be had. */
async function wholeRun(): Promise<Plan> {
  const projects = ['unit', 'integration'];
  // On a new machine each of them downloads for minutes: side by side.
  const prepared = await Promise.allSettled(optional.map(({ prepare }) => prepare()));
  for (const [index, { project, what }] of optional.entries()) {
    const outcome = prepared[index];
    if (outcome?.status === 'fulfilled') projects.push(project);
    else if (isCi) throw outcome?.reason;
    else console.error(`test: left out: ${what}: ${errorMessage(outcome?.reason).split('\n')[0]}`);
  }
  return planOf(wholePlan, projects);
}

const isCi = (process.env['CI'] ?? '') !== '' && process.env['CI'] !== 'false';

/** `lane`: stands before each of its lines; undefined: it has the terminal for itself. */
async function runVitest(args: readonly string[], file: string, lane?: string): Promise<Outcome> {
  const options = ['run', '--reporter=default', '--reporter=json', `--outputFile.json=${file}`, ...args];
  const code = await runTool('vitest', options, {}, lane === undefined ? undefined : `${lane} | `);
  return outcomeOf(code, await readReport(file));
}

async function runPlan(plan: Plan, directory: string): Promise<Outcome> {
  const outcomes: Outcome[] = [];
  for (const lanes of plan) {
    const ran = lanes.map(async (projects) => {
      const [began, lane] = [performance.now(), projects.join('+')];
      const args = projects.map((project) => `--project=${project}`);
      const outcome = await runVitest(args, join(directory, `${lane}.json`), lanes.length === 1 ? undefined : lane);
      const minutes = ((performance.now() - began) / 60_000).toFixed(1);
      console.log(`test: ${lane}: ${outcome.passed} passed, ${outcome.failed} failed in ${minutes} min`);
      return outcome;
    });
    outcomes.push(...(await Promise.all(ran)));
    // Stopped by a person, who wants no more of it.
    if (outcomes.some(({ code }) => code > 128)) break;
  }
  return sumOf(outcomes);
}

async function main(args: readonly string[]): Promise<number> {
  // A whole run needs all of it: better said now than after the unit tests. Part of a run asks for the rest when it needs it.
  const isWhole = args.length === 0;
  await (isWhole
    ? ensurePrograms([...enginePrograms, ...testImagePrograms, ...singleFilePrograms], ownEngine)
    : ensurePrograms(['busybox']));
  // What an earlier run has left takes bridges, room and memory that this one needs.
  await removeAbandoned();
  await buildAll();
  const directory = ownedDirectory('relight-report-');
  try {
    const { passed, failed, code, names } = isWhole
      ? await runPlan(await wholeRun(), directory)
      : await runVitest(args, join(directory, 'report.json'));
    // One lane's are far above by now, between the lines of others.
    if (isWhole) for (const name of names) console.log(`test: FAILED ${relative(root, name)}`);
    console.log(`${passed} passed, ${failed} failed`);
    return code;
  } finally {
    await rm(directory, { recursive: true, force: true });
    // Of this one, where it was stopped.
    await removeAbandoned();
  }
}

/** Only of processes that are gone. Engines first: their containers hold what lies in the directories. */
async function removeAbandoned(): Promise<void> {
  await removeAbandonedEngines();
  removeAbandonedLabs();
  for (const prefix of ['relight-report-', 'relight-unit-', 'relight-packages-', 'relight-machine-']) removeAbandonedDirectories(prefix);
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof MachineError)) throw error;
  console.error(`test: ${error.message}`);
  if (process.argv.length === 2) console.error('The unit tests need only busybox, and no root: npm run test:unit');
  process.exitCode = 2;
}
