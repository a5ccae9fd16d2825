/**
 * What must not leave this host: the values of a workload's env files. Whatever Relight says or sends of the workload goes
 * through here. Values that were valid once stay secret for as long as the agent lives.
 */
import { readEnvFiles, redactor, secretLengthMin } from './secrets.ts';

export class SecretValues {
  readonly #files: readonly string[];
  readonly #values = new Set<string>();
  #needles: readonly Buffer[] = [];
  #redact: (text: string) => string = (text) => text;

  readonly #host: SecretValues | null;

  /** `host`: those of what the host's own commands print, which may be any workload's. */
  constructor(envFiles: readonly string[], host: SecretValues | null = null) {
    this.#files = envFiles;
    this.#host = host;
  }

  /** Reads the files anew. Fails with what readEnvFiles fails with; what was known stays. */
  async load(): Promise<void> {
    this.learn(Object.values(await readEnvFiles(this.#files)));
  }

  /** Further values: a container that runs may hold what its env files said before they were changed. */
  learn(values: readonly string[]): void {
    this.#host?.learn(values);
    for (const value of values) {
      this.#values.add(value);
      // A key over several lines is printed line by line.
      for (const line of value.split('\n')) this.#values.add(line);
    }
    this.#redact = redactor(this.#values);
    this.#needles = [...this.#values].filter((value) => value.length >= secretLengthMin).map((value) => Buffer.from(value));
  }

  text(text: string): string {
    return this.#redact(text);
  }

  /** The same bytes, untouched, when they hold no secret. */
  bytes(bytes: Uint8Array): Uint8Array {
    if (this.#needles.length === 0) return bytes;
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (!this.#needles.some((needle) => buffer.includes(needle))) return bytes;
    // latin1 keeps every other byte of the line as it is.
    const redact = redactor([...this.#values].map((value) => Buffer.from(value).toString('latin1')));
    return Buffer.from(redact(buffer.toString('latin1')), 'latin1');
  }

  /** Strings anywhere inside plain data. */
  data<T>(value: T): T {
    if (this.#needles.length === 0) return value;
    if (typeof value === 'string') return this.#redact(value) as T;
    if (Array.isArray(value)) return value.map((item) => this.data(item)) as T;
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, this.data(inner)])) as T;
  }
}
