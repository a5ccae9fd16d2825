/**
 * `<state dir>/workloads/<name>.json`: what the supervisor knows, and the configuration it was made from. Written before the
 * first step that relies on it, atomically. A file that cannot be read is set aside, not trusted: labels and engine tell
 * the rest.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { WorkloadSpec } from './config/spec.ts';
import { parsedOrSetAside, readSwapped, swapFile } from './host/atomic-file.ts';
import type { DurableState } from './supervisor/state.ts';

export interface SavedWorkload {
  readonly state: DurableState;
  readonly spec: WorkloadSpec;
}

export class WorkloadStore {
  readonly #directory: string;
  readonly #written = new Map<string, string>();

  constructor(stateDir: string) {
    this.#directory = join(stateDir, 'workloads');
  }

  /** Null: nothing is remembered. */
  load(name: string): SavedWorkload | null {
    const path = join(this.#directory, `${name}.json`);
    const text = readSwapped(path);
    return text === null ? null : parsedOrSetAside(path, text, parseSaved);
  }

  /** Throws what the disk throws. Does nothing when nothing has changed. */
  save(name: string, saved: SavedWorkload): void {
    const text = JSON.stringify(saved);
    if (this.#written.get(name) === text) return;
    // The directory may have been deleted under a running agent.
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    swapFile(join(this.#directory, `${name}.json`), text);
    this.#written.set(name, text);
  }
}

function parseSaved(text: string): SavedWorkload {
  const saved = JSON.parse(text) as SavedWorkload;
  if (saved.state.version !== 1) throw new Error(`version ${String(saved.state.version)}`);
  return saved;
}
