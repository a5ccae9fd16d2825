/** Hosts that the configuration says are gone for good: looked for at every sweep, on clocks that are watched for being set (liveness/forget.ts). */
import type { Clock } from '@relight/shared/clock';
import { formatDurationMs } from '@relight/shared/units';
import type { ForgetRule } from '../config.ts';
import { forgottenBy, wasSet, type Moment } from '../liveness/forget.ts';
import type { HostEntry } from './host-book.ts';

export interface Gone {
  readonly entry: HostEntry;
  /** For a person. */
  readonly message: string;
  /** As the rule was written. */
  readonly label: string;
}

export class ForgetByRule {
  readonly #clock: Clock;
  readonly #rules: readonly ForgetRule[];
  #looked: Moment;
  /** Since when the wall clock has run evenly, on the monotonic one. */
  #evenSince = -Infinity;

  constructor(clock: Clock, rules: readonly ForgetRule[]) {
    this.#clock = clock;
    this.#rules = rules;
    this.#looked = { wall: clock.now(), mono: clock.monotonic() };
  }

  /** To be asked regularly. A list of its own: who is forgotten leaves the book meanwhile. */
  look(entries: Iterable<HostEntry>): readonly Gone[] {
    const now: Moment = { wall: this.#clock.now(), mono: this.#clock.monotonic() };
    if (wasSet(this.#looked, now)) this.#evenSince = now.mono;
    this.#looked = now;
    const gone: Gone[] = [];
    if (this.#rules.length === 0) return gone;
    for (const entry of entries) {
      const { record } = entry;
      const rule = entry.session === null ? forgottenBy(record, this.#rules, now.wall, now.mono - this.#evenSince) : null;
      if (rule === null) continue;
      const which = rule.text === '' ? '' : ` with ${rule.text}`;
      const message = `${record.name} is forgotten: ${record.state} for ${formatDurationMs(rule.afterMs)}, as the rule for hosts${which} says`;
      gone.push({ entry, message, label: rule.text });
    }
    return gone;
  }
}
