/**
 * `npm test`: builds the bundles and runs every tier the machine can have. Arguments go to vitest
 * (`npm test -- --project unit`). Ends with `N passed, N failed`.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildAll } from './build.ts';
import { runTool } from './run.ts';

interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly testResults: readonly { readonly status: string; readonly assertionResults: readonly unknown[] }[];
}

const directory = await mkdtemp(join(tmpdir(), 'relight-test-'));
const report = join(directory, 'report.json');
try {
  await buildAll();
  const code = await runTool('vitest', [
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
    ...process.argv.slice(2),
  ]);
  const result = JSON.parse(await readFile(report, 'utf8')) as Report;
  // A file that could not even be loaded has no assertions; it counts as one failure.
  const broken = result.testResults.filter((file) => file.status === 'failed' && file.assertionResults.length === 0).length;
  const failed = result.numFailedTests + broken;
  console.log(`${result.numPassedTests} passed, ${failed === 0 && code !== 0 ? 1 : failed} failed`);
  process.exitCode = code === 0 && failed === 0 && result.numPassedTests > 0 ? 0 : 1;
} finally {
  await rm(directory, { recursive: true, force: true });
}
