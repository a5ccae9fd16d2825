/**
 * What of a whole run goes on side by side, and what came of it. Lanes are vitests of their own: within one, all files that must not run
 * beside others of their tier stand in a single queue, whatever their project (`groupSpecs` of its pool), and a group of projects has
 * its workers in common. Nothing is shared between lanes but the machine: each starts its own engines, on bridges of their own.
 */

/** Steps one after the other; of a step the lanes side by side; of a lane its projects one after the other. */
export type Plan = readonly (readonly (readonly string[])[])[];

/**
 * The unit tests alone, because they are all CPU. The others wait nearly all of their time, each tier for its own engine: two lanes as
 * long as each other. All one after the other again: `[[['unit', 'integration', 'real', 'system']]]`.
 */
export const wholePlan: Plan = [[['unit']], [['integration'], ['real', 'system']]];

/** Without what the machine cannot have. */
export function planOf(plan: Plan, projects: readonly string[]): Plan {
  const steps = plan.map((lanes) => lanes.map((lane) => lane.filter((project) => projects.includes(project))));
  return steps.map((lanes) => lanes.filter((lane) => lane.length > 0)).filter((lanes) => lanes.length > 0);
}

/** Of vitest's JSON. */
export interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly testResults: readonly {
    /** Path. */
    readonly name: string;
    readonly status: string;
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[];
  }[];
}

export interface Outcome {
  readonly passed: number;
  /** At least one where anything is wrong. */
  readonly failed: number;
  /** Of the process; above 128 when a signal has ended it. */
  readonly code: number;
  /** `FILE: TEST`, or FILE where it could not be loaded. */
  readonly names: readonly string[];
}

/** `report`: undefined when there is none, because the run was stopped or given options that vitest does not know. */
export function outcomeOf(code: number, report: Report | undefined): Outcome {
  if (report === undefined) return { passed: 0, failed: 1, code: code > 128 ? code : 2, names: [] };
  // A file that could not even be loaded has no assertions; it counts as one failure.
  const broken = report.testResults.filter(({ status, assertionResults }) => status === 'failed' && assertionResults.length === 0);
  const names = report.testResults.flatMap(({ name, assertionResults }) =>
    assertionResults.filter(({ status }) => status === 'failed').map(({ fullName }) => `${name}: ${fullName}`),
  );
  const failed = report.numFailedTests + broken.length;
  const isGood = code === 0 && failed === 0 && report.numPassedTests > 0;
  return {
    passed: report.numPassedTests,
    failed: failed === 0 && !isGood ? 1 : failed,
    code: code > 128 ? code : isGood ? 0 : 1,
    names: [...names, ...broken.map(({ name }) => name)],
  };
}

/** Everything counts; a lane that failed fails all of it, with the gravest code. */
export function sumOf(outcomes: readonly Outcome[]): Outcome {
  return {
    passed: outcomes.reduce((sum, { passed }) => sum + passed, 0),
    failed: outcomes.reduce((sum, { failed }) => sum + failed, 0),
    code: Math.max(...outcomes.map(({ code }) => code)),
    names: outcomes.flatMap(({ names }) => names),
  };
}
