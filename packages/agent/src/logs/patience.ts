/** How long what is written may wait, in milliseconds. */
export interface Patience {
  /** Of a segment that is written to all the time: there are no more blocks than one in this time. */
  readonly lineMs: number;
  /** After a silence as long as `lineMs`: the first lines wait only for those that come with them. */
  readonly firstLineMs: number;
  /** For the last state of a progress bar that has not come to its end. */
  readonly drawingMs: number;
}

/** The longer, the fewer blocks: each costs a compression, a frame, a commit and an answer, for thousands of agents. */
export const patient: Patience = { lineMs: 2_000, firstLineMs: 100, drawingMs: 5_000 };
export const watched: Patience = { lineMs: 10, firstLineMs: 10, drawingMs: 1_000 };
export const leaving: Patience = { lineMs: 0, firstLineMs: 0, drawingMs: 0 };
