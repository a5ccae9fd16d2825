/** What operators ask about sinks. */
import type { Severity } from '@relight/shared/event';
import type { SinkReport } from './sink-book.ts';

export interface TestAbout {
  readonly severity: Severity;
  /** Who asked for it; null: nobody with a name. */
  readonly by: string | null;
}

export interface TestAnswer {
  readonly delivered: boolean;
  /** Why not; null: it was taken. */
  readonly reason: string | null;
  readonly tookMs: number;
}

export interface SinkDesk {
  /** In the order of the configuration. */
  sinks(): readonly SinkReport[];
  /** Posts a test alert to these, by their place in `sinks()`; what each has answered, in the same order. */
  test(places: readonly number[], about: TestAbout): Promise<readonly TestAnswer[]>;
}
