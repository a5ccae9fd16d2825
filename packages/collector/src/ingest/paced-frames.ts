/**
 * The frames of one connection, in order and no faster than its host's pace. While one waits, nothing more is read from the socket; what
 * was read along with it (a chunk of 64 KiB may hold a thousand frames) waits behind it.
 */
import type { Clock, Timer } from '@relight/shared/clock';

export interface PacedFramesDeps {
  readonly clock: Clock;
  readonly socket: { pause(): void; resume(): void };
  readonly handle: (data: Buffer, binary: boolean) => void;
  /** A message that waited last, or came, when this side had ended the connection: it is handled no more, but may be a goodbye. */
  readonly late: (data: Buffer) => void;
  /** After a message was handled: for how many milliseconds nothing else is to be. */
  readonly spend: (bytes: number) => number;
}

export class PacedFrames {
  readonly #deps: PacedFramesDeps;
  #waiting: { readonly data: Buffer; readonly binary: boolean }[] = [];
  #timer: Timer | null = null;
  /** Somebody else wants nothing to be read either. */
  #held = false;
  #dropped = false;
  #ended: (() => void) | null = null;

  constructor(deps: PacedFramesDeps) {
    this.#deps = deps;
  }

  get dropped(): boolean {
    return this.#dropped;
  }

  push(data: Buffer, binary: boolean): void {
    if (this.#dropped) return binary ? undefined : this.#deps.late(data);
    if (this.#timer === null) this.#handle(data, binary);
    else this.#waiting.push({ data, binary });
  }

  hold(): void {
    this.#held = true;
    this.#deps.socket.pause();
  }

  release(): void {
    this.#held = false;
    if (this.#timer === null) this.#deps.socket.resume();
  }

  /** This side has ended the connection: of whatever still comes no more is wanted than a goodbye, which is the last that an agent says. */
  drop(): void {
    const last = this.#waiting.at(-1);
    this.#dropped = true;
    this.#held = false;
    this.#waiting = [];
    if (last?.binary === false) this.#deps.late(last.data);
    this.#timer?.cancel();
    this.#goOn();
  }

  /** The other side has: `done` follows its last frame, which may be a goodbye. */
  end(done: () => void): void {
    if (this.#timer === null) done();
    else this.#ended = done;
  }

  #handle(data: Buffer, binary: boolean): void {
    this.#deps.handle(data, binary);
    const waitMs = binary || this.#dropped ? 0 : this.#deps.spend(data.length);
    if (waitMs === 0) return;
    this.#deps.socket.pause();
    this.#timer = this.#deps.clock.after(waitMs, () => this.#goOn());
  }

  #goOn(): void {
    this.#timer = null;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      this.#handle(next.data, next.binary);
      if (this.#timer !== null) return;
    }
    const ended = this.#ended;
    this.#ended = null;
    if (ended !== null) ended();
    else if (!this.#held) this.#deps.socket.resume();
  }
}
