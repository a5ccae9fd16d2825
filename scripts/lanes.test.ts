import { expect, test } from 'vitest';
import config from '../vitest.config.ts';
import { outcomeOf, planOf, type Report, sumOf, wholePlan } from './lanes.ts';

const report = (passed: number, testResults: Report['testResults'] = []): Report => ({
  numPassedTests: passed,
  numFailedTests: testResults.flatMap(({ assertionResults }) => assertionResults).filter(({ status }) => status === 'failed').length,
  testResults,
});

test('a whole run has every project of the configuration, each once', () => {
  const projects = (config as { test: { projects: { test: { name: string } }[] } }).test.projects.map(({ test: { name } }) => name);
  expect(wholePlan.flat(2).toSorted()).toEqual(projects.toSorted());
});

test('what the machine cannot have is left out, with lanes and steps that hold nothing else', () => {
  const plan = [[['a']], [['b'], ['c', 'd']], [['e']]];
  expect(planOf(plan, ['a', 'b', 'd'])).toEqual([[['a']], [['b'], ['d']]]);
  expect(planOf(plan, ['c', 'd', 'e'])).toEqual([[['c', 'd']], [['e']]]);
});

test.each([
  ['all good', 0, report(3), { passed: 3, failed: 0, code: 0 }],
  ['no report', 1, undefined, { passed: 0, failed: 1, code: 2 }],
  ['stopped by a signal', 130, undefined, { passed: 0, failed: 1, code: 130 }],
  ['nothing ran', 0, report(0), { passed: 0, failed: 1, code: 1 }],
  ['an error beside the tests', 1, report(3), { passed: 3, failed: 1, code: 1 }],
  [
    'a failed test and a file that could not be loaded',
    1,
    report(3, [
      { name: 'a.test.ts', status: 'failed', assertionResults: [{ status: 'failed', fullName: 'one' }] },
      { name: 'b.test.ts', status: 'failed', assertionResults: [] },
    ]),
    { passed: 3, failed: 2, code: 1, names: ['a.test.ts: one', 'b.test.ts'] },
  ],
])('%s', (_, code, given, wanted) => {
  expect(outcomeOf(code, given)).toMatchObject(wanted);
});

test('every lane counts, and one that fails, whichever it is, fails the whole', () => {
  const [good, bad] = [outcomeOf(0, report(5)), outcomeOf(1, undefined)];
  for (const lanes of [
    [good, bad],
    [bad, good],
  ])
    expect(sumOf(lanes)).toMatchObject({ passed: 5, failed: 1, code: 2 });
  expect(sumOf([good, good])).toMatchObject({ passed: 10, failed: 0, code: 0 });
});
