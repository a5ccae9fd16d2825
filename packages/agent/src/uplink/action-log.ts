import { errorMessage, RelightError } from '@relight/shared/errors';
import type { Action } from '@relight/shared/protocol';

export interface ActionResult {
  readonly ok: boolean;
  readonly message: string;
  readonly code?: string | undefined;
}

/** More than can be under way; a repetition comes within one reconnect. */
const remembered = 100;

/** Executes every action at most once per id: an action that comes again, because its answer was lost, gets the same answer. */
export class ActionLog {
  readonly #execute: (action: Action) => Promise<ActionResult>;
  readonly #results = new Map<string, Promise<ActionResult>>();

  constructor(execute: (action: Action) => Promise<ActionResult>) {
    this.#execute = execute;
  }

  /** Never rejects. */
  run(action: Action): Promise<ActionResult> {
    const known = this.#results.get(action.id);
    if (known !== undefined) return known;
    const result = this.#execute(action).catch((error: unknown) => ({
      ok: false,
      message: errorMessage(error),
      code: error instanceof RelightError ? error.code : 'internal',
    }));
    this.#results.set(action.id, result);
    const oldest = this.#results.keys().next().value;
    if (this.#results.size > remembered && oldest !== undefined) this.#results.delete(oldest);
    return result;
  }
}
