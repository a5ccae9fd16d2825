/** Where the files of a host stand, for the next start of the agent: kept in `segments.json`, written when it is worth it. */
import { join } from 'node:path';
import type { Clock } from '@relight/shared/clock';
import { errorMessage } from '@relight/shared/errors';
import type { Logger } from 'pino';
import type { SegmentFile } from './log-shipper.ts';
import { loadPositions, owedFiles, savePositions, type Position } from './positions.ts';
import type { SegmentTail } from './segment-tail.ts';

/** Where files stand is only a hint for the next start, except when they have come or gone. */
const saveMs = 10_000;
const unfollowedMax = 1_000;

type Tail = Pick<SegmentTail, 'id' | 'position' | 'piecesChanged'>;

export interface PositionBookOptions {
  /** Holds `segments.json`. */
  readonly directory: string;
  readonly clock: Pick<Clock, 'monotonic'>;
  readonly logger: Pick<Logger, 'warn'>;
}

export class PositionBook {
  readonly #options: PositionBookOptions;
  readonly #followed: () => readonly Tail[];
  readonly #path: string;
  readonly #positions: Record<string, Position>;
  #changed = false;
  #savedAt = -Infinity;

  constructor(options: PositionBookOptions, followed: () => readonly Tail[]) {
    this.#options = options;
    this.#followed = followed;
    this.#path = join(options.directory, 'segments.json');
    const { positions, note } = loadPositions(this.#path);
    this.#positions = positions;
    if (note !== null) options.logger.warn({ path: this.#path, reason: note }, 'log positions cannot be read; the collector is asked');
  }

  /** Undefined: nothing is remembered of this segment. */
  of(id: string): Position | undefined {
    return this.#positions[id];
  }

  /** Those of whom a gap is still to be told, although perhaps nobody will ever follow them again. */
  owed(): readonly SegmentFile[] {
    return owedFiles(this.#positions);
  }

  /** Of one that is not followed any more. */
  keep(tail: Tail): void {
    this.#positions[tail.id] = tail.position();
  }

  drop({ id }: Pick<Tail, 'id'>): void {
    delete this.#positions[id];
  }

  /** There is something new to write. */
  changed(): void {
    this.#changed = true;
  }

  saveIfDue(): void {
    const pieces = this.#followed().some((tail) => tail.piecesChanged());
    if (pieces || this.#options.clock.monotonic() - this.#savedAt >= saveMs) this.save();
  }

  /** Unless nothing is new. A disk that does not take it is told of in the log, and asked again. */
  save(): void {
    if (!this.#changed) return;
    this.#changed = false;
    this.#savedAt = this.#options.clock.monotonic();
    try {
      savePositions(this.#path, this.#current());
    } catch (error) {
      this.#options.logger.warn({ path: this.#path, error: errorMessage(error) }, 'log positions could not be written');
    }
  }

  /** Before something is deleted because of it. Throws errno errors. */
  saveDurably(): void {
    savePositions(this.#path, this.#current(), true);
  }

  #current(): Readonly<Record<string, Position>> {
    const followed = this.#followed();
    for (const tail of followed) this.keep(tail);
    // What is not followed may be later, when the engine is back; but what never is must not pile up.
    const known = new Set(followed.map(({ id }) => id));
    const surplus = Object.keys(this.#positions).filter((id) => !known.has(id));
    for (const id of surplus.slice(0, Math.max(0, surplus.length - unfollowedMax))) delete this.#positions[id];
    return this.#positions;
  }
}
