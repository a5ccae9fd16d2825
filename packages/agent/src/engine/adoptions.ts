/**
 * Containers that were there before Relight, as they were found: `<state dir>/adopted/<workload>.json`, mode 0600 (their
 * environment is in it). Written before anything relies on it; the container made from it later needs no original.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parsedOrSetAside, readIfThere, replaceFileDurably } from '../host/atomic-file.ts';
import type { AdoptedDocument } from './adoption.ts';
import { managedLabels } from './create-options.ts';

export interface Adoption {
  readonly version: 1;
  readonly workload: string;
  /** The container's name. */
  readonly name: string;
  /** That it had as it was found: in place of the label that it cannot be given any more. */
  readonly generation: number;
  /** Epoch milliseconds. */
  readonly takenAt: number;
  readonly document: AdoptedDocument;
}

const directoryOf = (stateDir: string): string => join(stateDir, 'adopted');
const pathOf = (stateDir: string, workload: string): string => join(directoryOf(stateDir), `${workload}.json`);

/** Null: nothing is remembered, or something else under that name. What cannot be read is set aside. */
export function readAdoption(stateDir: string, workload: string, name: string): Adoption | null {
  const path = pathOf(stateDir, workload);
  const text = readIfThere(path);
  const adoption = text === null ? null : parsedOrSetAside(path, text, parseAdoption);
  return adoption?.name === name ? adoption : null;
}

function parseAdoption(text: string): Adoption {
  const adoption = JSON.parse(text) as Adoption;
  if (adoption.version !== 1) throw new Error('of another version');
  return adoption;
}

/** Throws what the disk throws. */
export function writeAdoption(stateDir: string, adoption: Adoption): void {
  mkdirSync(directoryOf(stateDir), { recursive: true, mode: 0o700 });
  replaceFileDurably(pathOf(stateDir, adoption.workload), JSON.stringify(adoption));
}

/** The labels that an adopted container would have if one could give it any. */
export function labelsOfAdopted(adoption: Adoption, ownerId: string): Readonly<Record<string, string>> {
  return {
    [managedLabels.agent]: ownerId,
    [managedLabels.workload]: adoption.workload,
    [managedLabels.generation]: String(adoption.generation),
  };
}
