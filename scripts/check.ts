/** `npm run check`: format, lint (type-aware), types, unused code. Runs all of them and reports each. */
import { runTool } from './run.ts';

const checks: readonly (readonly [name: string, tool: string, args: readonly string[]])[] = [
  ['format', 'oxfmt', ['--check', '.']],
  ['lint', 'oxlint', ['--type-aware', '--deny-warnings']],
  ['types', 'tsc', ['--project', '.']],
  ['unused code', 'knip', []],
];

let failed = 0;
for (const [name, tool, args] of checks) {
  const code = await runTool(tool, args);
  console.log(`${code === 0 ? 'ok    ' : 'FAILED'} ${name}`);
  if (code !== 0) failed += 1;
}
console.log(`${checks.length - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
