/**
 * What must not leave this host: the values of a workload's env files, and what its patterns match. Whatever Relight says or sends of the workload goes
 * through here. Values that were valid once stay secret for as long as the agent lives.
 */
import { Redaction, replacement } from '../logs/redaction/redaction.ts';
import { readEnvFiles, redactor, secretLengthMin } from './secrets.ts';

export class SecretValues {
  #files: readonly string[];
  readonly #values = new Set<string>();
  #needles: readonly Buffer[] = [];
  #redact: (text: string) => string = (text) => text;
  #redactBytes: (latin1: string) => string = (text) => text;

  readonly #host: SecretValues | null;
  #patterns: Redaction;

  /** `host`: those of what the host's own commands print, which may be any workload's. Throws PatternError. */
  constructor(envFiles: readonly string[], host: SecretValues | null = null, patterns: readonly string[] = []) {
    this.#files = envFiles;
    this.#host = host;
    this.#patterns = new Redaction(patterns);
  }

  /** Other files and patterns from now on. Values that were known stay secret. Throws PatternError. */
  configure(envFiles: readonly string[], patterns: readonly string[]): void {
    this.#patterns = new Redaction(patterns);
    this.#files = envFiles;
  }

  /** Reads the files anew. Fails with what readEnvFiles fails with; what was known stays. */
  async load(): Promise<void> {
    this.learn(Object.values(await readEnvFiles(this.#files)));
  }

  /** Further values: a container that runs may hold what its env files said before they were changed. */
  learn(values: readonly string[]): void {
    this.#host?.learn(values);
    for (const value of values) {
      // A key over several lines is printed line by line, and logs of JSON write quotes and backslashes in their own way.
      for (const form of [value, ...value.split(/\r?\n/)]) this.#values.add(form).add(JSON.stringify(form).slice(1, -1));
    }
    this.#redact = redactor(this.#values);
    // latin1 keeps every other byte of a line as it is.
    this.#redactBytes = redactor([...this.#values].map((form) => Buffer.from(form).toString('latin1')));
    this.#needles = [...this.#values].filter((value) => value.length >= secretLengthMin).map((value) => Buffer.from(value));
  }

  text(text: string): string {
    return this.#patterns.text(this.#redact(text));
  }

  /**
   * The same bytes, untouched, when they hold no secret. `truncated`: the line goes on, and so may a secret at its end;
   * `continued`: it has begun before, and so may one at its beginning.
   */
  bytes(bytes: Uint8Array, truncated = false, continued = false): Uint8Array {
    if (this.#isEmpty) return bytes;
    const redacted = this.#patterns.bytes(this.#withoutValues(bytes));
    const begun = continued ? this.#withoutEndings(redacted) : redacted;
    return truncated ? this.#withoutBeginnings(begun) : begun;
  }

  get #isEmpty(): boolean {
    return this.#needles.length === 0 && this.#patterns.isEmpty;
  }

  #withoutValues(bytes: Uint8Array): Uint8Array {
    const buffer = bufferOf(bytes);
    if (!this.#needles.some((needle) => buffer.includes(needle))) return bytes;
    return Buffer.from(this.#redactBytes(buffer.toString('latin1')), 'latin1');
  }

  /** Without what may be the beginning of a secret whose rest was cut off. */
  #withoutBeginnings(bytes: Uint8Array): Uint8Array {
    const buffer = bufferOf(bytes);
    // Where a pattern would have ended nobody knows: the last word goes.
    const lastWord = this.#patterns.isEmpty ? buffer.length : Math.max(buffer.lastIndexOf(32), buffer.lastIndexOf(9)) + 1;
    const starts = this.#needles.map((needle) => {
      for (let length = Math.min(needle.length - 1, buffer.length); length > 0; length -= 1) {
        if (buffer.subarray(buffer.length - length).equals(needle.subarray(0, length))) return buffer.length - length;
      }
      return buffer.length;
    });
    const from = Math.min(lastWord, ...starts);
    return from === buffer.length ? bytes : Buffer.concat([buffer.subarray(0, from), Buffer.from(replacement)]);
  }

  /** Without what may be the end of a secret whose beginning was cut off. */
  #withoutEndings(bytes: Uint8Array): Uint8Array {
    const buffer = bufferOf(bytes);
    // Where a pattern would have begun nobody knows: the first word goes.
    const word = buffer.findIndex((byte) => byte === 32 || byte === 9);
    const firstWord = this.#patterns.isEmpty ? 0 : word < 0 ? buffer.length : word;
    const ends = this.#needles.map((needle) => {
      for (let length = Math.min(needle.length - 1, buffer.length); length > 0; length -= 1) {
        if (buffer.subarray(0, length).equals(needle.subarray(needle.length - length))) return length;
      }
      return 0;
    });
    const to = Math.max(firstWord, ...ends);
    return to === 0 ? bytes : Buffer.concat([Buffer.from(replacement), buffer.subarray(to)]);
  }

  /** The end of what somebody printed. `continued`: it has begun before, and so may a secret in its first line. */
  tail(bytes: Uint8Array, continued: boolean): string {
    const buffer = bufferOf(bytes);
    const newline = buffer.indexOf(10);
    const end = newline < 0 ? buffer.length : newline;
    const parts = [this.bytes(buffer.subarray(0, end), false, continued), this.bytes(buffer.subarray(end))];
    return Buffer.concat(parts).toString('utf8');
  }

  /** Strings anywhere inside plain data. */
  data<T>(value: T): T {
    if (this.#isEmpty) return value;
    if (typeof value === 'string') return this.text(value) as T;
    if (Array.isArray(value)) return value.map((item) => this.data(item)) as T;
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, this.data(inner)])) as T;
  }
}

const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
