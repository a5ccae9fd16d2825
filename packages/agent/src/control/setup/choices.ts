/** What can be kept of what was found, which of it is proposed, and what cannot and why. Pure. */
import { parse } from 'yaml';
import { isName, isUsable, oneLine, type FoundContainer, type ImportedText, type SetupFacts, type Unusable } from './facts.ts';

interface Common {
  /** What a person types: the container's name, or the file. */
  readonly name: string;
  /** One line. */
  readonly say: string;
}
/** `adopt`: taken over as it runs. `describe`: written out in full, and made anew. */
export type Choice =
  | (Common & { readonly kind: 'adopt'; readonly container: FoundContainer })
  | (Common & { readonly kind: 'describe'; readonly container: FoundContainer; readonly imported: ImportedText })
  | (Common & { readonly kind: 'ray'; readonly imported: ImportedText; readonly containerName: string });

export interface Choices {
  readonly all: readonly Choice[];
  /** What `--yes` takes. */
  readonly proposed: readonly Choice[];
  /** One line each. */
  readonly left: readonly string[];
}

/**
 * Proposed are the running containers that use accelerators, else all that run and that nobody else keeps; else the one
 * cluster file there is. What would be replaced under Relight by somebody else is offered, never proposed.
 */
export function choicesOf(facts: SetupFacts): Choices {
  const running = facts.containers.filter((container) => container.running);
  const containers = running.map(choiceOf);
  const ray = facts.rayFiles.map(({ file, imported }) =>
    isUsable(imported) ? rayChoice(file, imported) : { ...imported, problem: `${oneLine(file)}: ${imported.problem}` },
  );
  const all = [...containers, ...ray].filter(isChoice);
  const left = [...containers, ...facts.unread, ...ray]
    .filter((item): item is Unusable => !isChoice(item))
    .map(({ problem, advice }) => `${problem} → ${advice}`);
  return { all, proposed: proposedOf(all), left };
}

export const isChoice = (item: Choice | Unusable): item is Choice => 'kind' in item;

export const rayChoice = (file: string, imported: ImportedText): Choice => ({
  kind: 'ray',
  name: file,
  say: `the Ray cluster file ${oneLine(file)}, as a worker of it`,
  imported,
  containerName: containerNameIn(imported.yaml),
});

/** A running container, or one that was named. */
export function choiceOf(container: FoundContainer): Choice | Unusable {
  const { name, refusal, imported, keeper, madeFor } = container;
  if (container.isOurs) {
    const whose = madeFor === null ? '' : `, for the workload ${oneLine(madeFor)}`;
    return {
      problem: `${oneLine(name)}: Relight has made it already${whose}`,
      advice: 'With that workload in the configuration it is taken over as it runs; without it it goes on, and nobody restarts it.',
    };
  }
  if (!isName(name)) {
    const problem = `${oneLine(name)}: not a name of at most 63 of a-z, A-Z, 0-9, "_", "." and "-"`;
    return { problem, advice: 'Give it another one: docker rename.' };
  }
  const what = `${name}  ${oneLine(container.image)}${container.usesAccelerators ? ', uses accelerators' : ''}`;
  const kept = keeper === null ? '' : `; may be replaced by ${oneLine(keeper)}`;
  if (refusal === null) return { kind: 'adopt', name, container, say: `${what}: taken over as it runs${kept}` };
  if (imported === null) return { problem: refusal.why, advice: refusal.advice };
  if (!isUsable(imported)) return { ...imported, problem: `${refusal.why}; ${imported.problem}` };
  return { kind: 'describe', name, container, imported, say: `${what}: made anew, because it was started with --rm${kept}` };
}

function proposedOf(all: readonly Choice[]): readonly Choice[] {
  const free = all.filter((choice) => choice.kind === 'adopt' && choice.container.keeper === null && !choice.container.isUpdater);
  const accelerated = free.filter((choice) => choice.kind === 'adopt' && choice.container.usesAccelerators);
  if (accelerated.length > 0) return accelerated;
  if (free.length > 0) return free;
  const ray = all.filter(({ kind }) => kind === 'ray');
  return ray.length === 1 ? ray : [];
}

/** Two that cannot stand in one file. Null: there are none. */
export function conflict(chosen: readonly Choice[]): string | null {
  const [first, second] = chosen.filter(({ kind }) => kind === 'ray');
  if (second !== undefined) return `one cluster file makes one worker: ${first?.name ?? ''} or ${second.name}, not both`;
  if (first?.kind !== 'ray') return null;
  const same = chosen.find(({ kind, name }) => kind !== 'ray' && name === first.containerName);
  return same === undefined ? null : `${first.name} makes the container ${same.name} itself: choose one of both`;
}

/** `1, 3`, names, `all`, `none`, or nothing for what is proposed. Text: what is wrong with the answer. */
export function parseChoice(answer: string, { all, proposed }: Choices): readonly Choice[] | string {
  const words = answer.split(/[\s,]+/).filter((word) => word !== '');
  if (words.length === 0) return proposed;
  if (words.length === 1 && words[0] === 'none') return [];
  const picked =
    words.length === 1 && words[0] === 'all'
      ? all
      : words.map((word) => all.find(({ name }, i) => name === word || word === `${i + 1}`) ?? word);
  const unknown = picked.filter((item) => typeof item === 'string');
  if (unknown.length > 0) return `${unknown.map(oneLine).join(', ')}: not in the list. Answer with numbers or names of it, all, or none.`;
  const chosen = [...new Set(picked.filter((item) => typeof item !== 'string'))];
  return conflict(chosen) ?? chosen;
}

function containerNameIn(yaml: string): string {
  const { workloads } = parse(yaml) as { readonly workloads: readonly { readonly container: { readonly name: string } }[] };
  return workloads[0]?.container.name ?? '';
}
