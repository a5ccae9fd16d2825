/** What an import of a cluster file has to say beside the configuration: one line each, with the place in the file. */

export interface RayNote {
  /** `left`: not carried over. `changed`: carried over in another form. `look`: carried over as it is, and a person should look at it. */
  readonly kind: 'left' | 'changed' | 'look';
  readonly line: number;
  readonly text: string;
}

export class RayReport {
  readonly #notes: RayNote[] = [];

  get notes(): readonly RayNote[] {
    return this.#notes.toSorted((a, b) => a.line - b.line);
  }

  left(line: number, text: string): void {
    this.#notes.push({ kind: 'left', line, text });
  }

  changed(line: number, text: string): void {
    this.#notes.push({ kind: 'changed', line, text });
  }

  look(line: number, text: string): void {
    this.#notes.push({ kind: 'look', line, text });
  }
}

export const noteWords = { left: 'not carried over', changed: 'changed', look: 'look at' } as const;
