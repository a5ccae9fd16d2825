/** What `setup` has found on this host, in the words of the file that it writes. */
import type { AdoptionRefusal } from '../../engine/adoption.ts';
import { RelightError } from '@relight/shared/errors';

export interface SetupFacts {
  readonly hostname: string;
  readonly engine: EngineFound;
  /** For people, one a kind: `8 × NVIDIA H100`. */
  readonly accelerators: readonly string[];
  /** As many as nvidia-smi sees. Null: it is not there, or does not answer. */
  readonly gpus: number | null;
  readonly containers: readonly FoundContainer[];
  /** Containers that the engine says nothing of. */
  readonly unread: readonly Unusable[];
  readonly rayFiles: readonly FoundRay[];
  /** Address of the collector that this host has joined. */
  readonly joined: string | null;
}

export type EngineFound = { readonly version: string } | { readonly problem: string; readonly advice: string };

export interface FoundContainer {
  readonly name: string;
  readonly image: string;
  readonly running: boolean;
  readonly usesAccelerators: boolean;
  /** It has Relight's labels. */
  readonly isOurs: boolean;
  /** The workload that Relight has made it for; null: it has not. */
  readonly madeFor: string | null;
  /** Why it cannot be taken over as it runs. */
  readonly refusal: AdoptionRefusal | null;
  /** Who may replace it by himself: the unit that runs it, the autoscaler of Ray. */
  readonly keeper: string | null;
  /** It replaces other containers by itself. */
  readonly isUpdater: boolean;
  /** As `import container` writes it, where it cannot be taken over; with why that is no configuration. */
  readonly imported: ImportedText | Unusable | null;
}

export interface FoundRay {
  readonly file: string;
  readonly imported: ImportedText | Unusable;
}

export interface ImportedText {
  readonly yaml: string;
  /** One line each: what was not carried over, and what a person should look at. */
  readonly notes: readonly string[];
}
export interface Unusable {
  readonly problem: string;
  readonly advice: string;
}

export const isUsable = (imported: ImportedText | Unusable | null): imported is ImportedText => imported !== null && 'yaml' in imported;

/** What a command that fails says of it. Whatever is no RelightError is a defect and goes on. */
export function unusable(thrown: unknown): Unusable {
  if (!(thrown instanceof RelightError)) throw thrown;
  return { problem: thrown.message, advice: thrown.advice };
}

/** `2 × TPU v5e`, in the order in which they came. */
export function counted(models: readonly string[]): readonly string[] {
  return [...new Set(models)].map((model) => `${models.filter((other) => other === model).length} × ${model}`);
}

/** As the configuration takes names of hosts, workloads and containers. */
export const isName = (text: string): boolean => /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/.test(text);

/** One that tells this host from others. */
export const isPlainHostname = (hostname: string): boolean => isName(hostname) && !/^localhost(\.|$)/.test(hostname);

/** From the outside world, for a terminal or a comment: nothing in it is taken for a command or a new line. */
export const oneLine = (text: string): string => text.replaceAll(/[\p{C}\u2028\u2029]+/gu, ' ').trim();
