/** Text as bytes, written in place: a hundred million lines must not wait for strings. Random numbers and a clock of its own, from a seed. */
const digits = 0x30;
const hexDigits = new TextEncoder().encode('0123456789abcdef');
const microsPerSecond = 1_000_000;

export class LineWriter {
  /** Whoever writes looks first whether a record still fits: see `room`. */
  bytes: Buffer = Buffer.alloc(0);
  at = 0;
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;
  /** Of the lines: whole seconds since 1970, and the microseconds in this second. */
  #second = 0;
  #micros = 0;
  #dated = new Map<string, Uint8Array>();
  readonly #meanMicros: number;

  /** The clock starts at `startMs` and goes on by `meanMicros` a record, exponentially distributed. */
  constructor(seed: number, startMs: number, meanMicros: number) {
    [this.#a, this.#b, this.#c] = [seed | 0, 0x9e3779b9 | 0, 0x243f6a88 | 0];
    this.#second = Math.floor(startMs / 1_000);
    this.#meanMicros = meanMicros;
    for (let warm = 0; warm < 16; warm += 1) this.random();
  }

  /** sfc32 of PractRand: 32 bits, with a period that a hundred million lines do not use up. */
  random(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  /** From 0 up to and without 1. */
  fraction(): number {
    return this.random() / 4_294_967_296;
  }

  below(limit: number): number {
    return Math.floor(this.fraction() * limit);
  }

  room(): number {
    return this.bytes.length - this.at;
  }

  /** Time goes on; most records follow closely, some after a long while. */
  tick(): void {
    this.#micros += Math.ceil(-Math.log(1 - this.fraction()) * this.#meanMicros);
    if (this.#micros < microsPerSecond) return;
    this.#second += Math.floor(this.#micros / microsPerSecond);
    this.#micros %= microsPerSecond;
    this.#dated.clear();
  }

  text(piece: Uint8Array): void {
    const { bytes } = this;
    let { at } = this;
    for (let index = 0; index < piece.length; index += 1) bytes[at++] = piece[index] as number;
    this.at = at;
  }

  byte(value: number): void {
    this.bytes[this.at++] = value;
  }

  /** At least `width` digits; 0 and up. */
  integer(value: number, width = 1): void {
    let size = 1;
    for (let rest = value; rest >= 10; rest = Math.floor(rest / 10)) size += 1;
    size = Math.max(size, width);
    let rest = value;
    for (let at = this.at + size - 1; at >= this.at; at -= 1) {
      const next = Math.floor(rest / 10);
      this.bytes[at] = digits + (rest - next * 10);
      rest = next;
    }
    this.at += size;
  }

  decimal(value: number, places: number): void {
    const scale = 10 ** places;
    const scaled = Math.round(value * scale);
    this.integer(Math.floor(scaled / scale));
    if (places === 0) return;
    this.byte(0x2e);
    this.integer(scaled % scale, places);
  }

  hex(count: number): void {
    let bits = 0;
    for (let index = 0; index < count; index += 1) {
      if (index % 8 === 0) bits = this.random();
      this.byte(hexDigits[bits & 15] as number);
      bits >>>= 4;
    }
  }

  /** `form` makes text of a whole second, as ISO has it; then come so many digits of the fraction. */
  time(name: string, form: (iso: string) => string, places: 0 | 3 | 6): void {
    let dated = this.#dated.get(name);
    if (dated === undefined) {
      dated = new TextEncoder().encode(form(new Date(this.#second * 1_000).toISOString().slice(0, 19)));
      this.#dated.set(name, dated);
    }
    this.text(dated);
    if (places > 0) this.integer(places === 3 ? Math.floor(this.#micros / 1_000) : this.#micros, places);
  }

  /** Seconds since 1970 with seven digits behind the point, as zap writes them. */
  epoch(): void {
    this.integer(this.#second);
    this.byte(0x2e);
    this.integer(this.#micros * 10 + this.below(10), 7);
  }
}
