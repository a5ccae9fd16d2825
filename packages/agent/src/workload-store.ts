/**
 * `<state dir>/workloads/<name>.json`: what the supervisor knows, and the configuration it was made from. Written before the
 * first step that relies on it, atomically, and with the events that tell of it (outbox/telling.ts). A file that cannot be read is
 * set aside, not trusted: labels and engine tell the rest.
 */
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { VarSpec, WorkloadSpec } from './config/spec.ts';
import { parsedOrSetAside, readSwapped, swapFile, temporarySuffix } from './host/atomic-file.ts';
import type { Telling } from './outbox/telling.ts';
import type { DurableState } from './supervisor/state.ts';

export interface SavedWorkload {
  readonly state: DurableState;
  readonly spec: WorkloadSpec;
  /** As `spec` uses them: the file may have them no more when it is next read. Absent: an earlier version wrote it. */
  readonly vars?: readonly VarSpec[];
  /** Absent: it had nothing to tell, or an earlier version wrote it. */
  readonly telling?: Telling;
}

/** What a workload was worked with. */
export type SavedConfiguration = Pick<SavedWorkload, 'spec' | 'vars'>;

export class WorkloadStore {
  readonly #directory: string;
  readonly #written = new Map<string, string>();

  constructor(stateDir: string) {
    this.#directory = join(stateDir, 'workloads');
  }

  /** Of which something is remembered, whether the configuration still has them or not. Throws errno errors. */
  names(): readonly string[] {
    const names = namesIn(this.#directory).map((name) => (name.endsWith(temporarySuffix) ? name.slice(0, -temporarySuffix.length) : name));
    return [...new Set(names.filter((name) => name.endsWith('.json')).map((name) => name.slice(0, -'.json'.length)))];
  }

  /** Null: nothing is remembered. */
  load(name: string): SavedWorkload | null {
    const path = join(this.#directory, `${name}.json`);
    const text = readSwapped(path);
    return text === null ? null : parsedOrSetAside(path, text, parseSaved);
  }

  /** Throws what the disk throws. Does nothing when all else is as it was: then nothing keeps an event from being told again. */
  save(name: string, { telling, ...saved }: SavedWorkload): void {
    const known = JSON.stringify(saved);
    if (this.#written.get(name) === known) return;
    // The directory may have been deleted under a running agent.
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    const text = telling === undefined ? known : `${known.slice(0, -1)},"telling":${JSON.stringify(telling)}}`;
    swapFile(join(this.#directory, `${name}.json`), text);
    this.#written.set(name, known);
  }
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

function parseSaved(text: string): SavedWorkload {
  const saved = JSON.parse(text) as SavedWorkload;
  if (saved.state.version !== 1) throw new Error(`version ${String(saved.state.version)}`);
  return saved;
}
