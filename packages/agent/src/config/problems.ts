/** What is wrong in a configuration file, and where. Readers throw `Invalid`; maps and lists gather what their parts threw. */

/** Both count from 1, as editors do. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

export interface Problem extends Position {
  /** `workloads[0].mounts[1].target`; '' for the document itself. */
  readonly path: string;
  /** What of `path` is no word of the person's own, where that is less: those who may not read the file hear no more. */
  readonly shown?: string;
  readonly message: string;
}

export class Invalid extends Error {
  readonly problems: readonly Problem[];
  constructor(problems: readonly Problem[]) {
    super(problems.map((problem) => problem.message).join('\n'));
    this.problems = problems;
  }
}

export function fail(at: Position & { readonly path: string }, message: string): never {
  throw new Invalid([{ line: at.line, column: at.column, path: at.path, message }]);
}

/** Runs `read`; what it finds wrong goes to `problems` and the result is undefined. A defect passes through. */
export function gather<T>(problems: Problem[], read: () => T): T | undefined {
  try {
    return read();
  } catch (thrown) {
    if (!(thrown instanceof Invalid)) throw thrown;
    problems.push(...thrown.problems);
    return undefined;
  }
}

/** Runs `read`, below whose `path` the person chooses the names. */
export function shownAs<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (thrown) {
    if (!(thrown instanceof Invalid)) throw thrown;
    throw new Invalid(thrown.problems.map((problem) => ({ ...problem, shown: path })));
  }
}

/** One line a problem, in the order of the file: `agent.yaml:12:7: workloads[0].image: is required`. */
export function formatProblems(file: string, problems: readonly Problem[]): string {
  return inOrder(problems)
    .map(({ line, column, path, message }) => `${file}:${line}:${column}: ${path === '' ? '' : `${path}: `}${message}`)
    .join('\n');
}

const placesMax = 50;

/** Where they are, the first of them, for who may not see what stands there: `agent.yaml:12:7: workloads[0].image`. */
export function formatPlaces(file: string, problems: readonly Problem[]): readonly string[] {
  return inOrder(problems)
    .slice(0, placesMax)
    .map(({ line, column, path, shown = path }) => `${file}:${line}:${column}${shown === '' ? '' : `: ${shown}`}`);
}

const inOrder = (problems: readonly Problem[]): readonly Problem[] => problems.toSorted((a, b) => a.line - b.line || a.column - b.column);
