/** Actions under way: each waits for the agent's answer, its deadline, or the end of the session. */
import type { Clock, Timer } from '@relight/shared/clock';
import { RelightError } from '@relight/shared/errors';
import type { Action } from '@relight/shared/protocol';
import type { Session } from './session.ts';

const answerWithinMs = 15_000;

export interface ActionAnswer {
  readonly ok: boolean;
  readonly message: string;
}

interface Waiting {
  readonly session: Session;
  readonly timer: Timer;
  readonly resolve: (answer: ActionAnswer) => void;
  readonly reject: (error: RelightError) => void;
}

export class Actions {
  readonly #clock: Clock;
  readonly #waiting = new Map<string, Waiting>();
  #count = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  send(session: Session, action: Omit<Action, 'type' | 'id'>): Promise<ActionAnswer> {
    this.#count += 1;
    const id = `${session.id}-${this.#count}`;
    return new Promise((resolve, reject) => {
      const timer = this.#clock.after(answerWithinMs, () => {
        this.#waiting.delete(id);
        reject(new RelightError('stage-timeout', `${session.host} did not answer within ${answerWithinMs / 1000} s`));
      });
      this.#waiting.set(id, { session, timer, resolve, reject });
      session.send({ type: 'action', id, ...action });
    });
  }

  /** An answer that nobody waits for any more is dropped: its deadline has been reported. */
  answer(
    session: Session,
    result: { readonly id: string; readonly ok: boolean; readonly code?: string | undefined; readonly message: string },
  ): void {
    const waiting = this.#take(result.id, session);
    if (waiting === undefined) return;
    const refusal = result.code === 'action-refused' || result.code === 'not-found' ? result.code : null;
    if (!result.ok && refusal !== null) waiting.reject(new RelightError(refusal, result.message));
    else waiting.resolve({ ok: result.ok, message: result.message });
  }

  sessionClosed(session: Session): void {
    for (const [id, waiting] of this.#waiting) {
      if (waiting.session !== session) continue;
      this.#take(id, session)?.reject(new RelightError('host-not-connected', `${session.host} disconnected before it answered`));
    }
  }

  #take(id: string, session: Session): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined || waiting.session !== session) return undefined;
    this.#waiting.delete(id);
    waiting.timer.cancel();
    return waiting;
  }
}
