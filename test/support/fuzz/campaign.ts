/** Many inputs against one thing, several at a time, each drawn from one seed; what is wrong with an answer ends it. */
import type { Randomness } from './randomness.ts';

export interface Input {
  /** How many inputs it counts for: a connection carries many frames. */
  readonly weight: number;
  /** For whoever has to find out what it was that broke something. */
  what(): string;
  /** Resolves with what is wrong with the answer, null where nothing is. Fails where there is none. */
  run(): Promise<string | null>;
}

export interface Source {
  readonly name: string;
  /** Of all inputs. */
  readonly share: number;
  /** So many at the same time. */
  readonly lanes: number;
  readonly draw: (random: Randomness) => Input;
}

export interface Campaign {
  readonly sources: readonly Source[];
  readonly random: Randomness;
  /** Asked regularly; fails when what is tried is gone. */
  readonly check: () => void;
}

/** The first lines of what goes wrong are enough. */
const defectsMax = 10;

export const sumOf = (counts: Readonly<Record<string, number>>): number => Object.values(counts).reduce((sum, count) => sum + count, 0);

/** Runs about `inputs` of them. @throws with what each was */
export async function attack({ sources, random, check }: Campaign, inputs: number): Promise<Readonly<Record<string, number>>> {
  const defects: string[] = [];
  const counts: Record<string, number> = {};
  const lane = async (source: Source, budget: { left: number }, own: Randomness): Promise<void> => {
    while (budget.left > 0 && defects.length < defectsMax) {
      const input = source.draw(own);
      budget.left -= input.weight;
      counts[source.name] = (counts[source.name] ?? 0) + input.weight;
      try {
        const wrong = await input.run();
        if (wrong !== null) defects.push(`${source.name}: ${wrong}\n    ${input.what()}`);
        check();
      } catch (error) {
        defects.push(`${source.name}: ${(error as Error).message}\n    ${input.what()}`);
      }
    }
  };
  await Promise.all(
    sources.flatMap((source) => {
      const budget = { left: Math.ceil(inputs * source.share) };
      return Array.from({ length: source.lanes }, () => lane(source, budget, random.fork()));
    }),
  );
  if (defects.length > 0) throw new Error(`${defects.length} defects, the first of them:\n  ${defects.join('\n  ')}`);
  return counts;
}
