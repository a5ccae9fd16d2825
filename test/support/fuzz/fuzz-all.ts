/** Everything of Relight that listens, answers or reads, under what nobody should send to it. */
import { rmSync } from 'node:fs';
import { ownedDirectory, removeAbandonedDirectories } from '../owned-directory.ts';
import { attack, sumOf } from './campaign.ts';
import { configInput } from './config-fuzz.ts';
import { fuzzAgent } from './fuzz-agent.ts';
import { fuzzCollector } from './fuzz-collector.ts';
import { Randomness } from './randomness.ts';
import { UplinkFuzz } from './uplink-fuzz.ts';

interface FuzzOptions {
  readonly inputs: number;
  readonly seed: number;
  readonly say: (line: string) => void;
}

type Part = (directory: string, random: Randomness, inputs: number, say: FuzzOptions['say']) => Promise<number>;

const prefix = 'relight-fuzz-';
const unhurt = (): void => undefined;
const collector =
  (secure: boolean): Part =>
  (directory, random, inputs, say) =>
    fuzzCollector({ directory, secure, random, inputs, say });

/** Each with its share of the inputs. */
export const fuzzParts: readonly { readonly name: string; readonly share: number; readonly run: Part }[] = [
  { name: 'the collector: every route and frame', share: 0.45, run: collector(false) },
  { name: 'the collector with TLS', share: 0.15, run: collector(true) },
  {
    name: 'the agent between its collector and its socket',
    share: 0.05,
    run: (directory, random, inputs, say) => fuzzAgent({ directory, random, inputs, say }),
  },
  {
    name: "the agent's connection to the collector",
    share: 0.25,
    async run(directory, random, inputs) {
      using uplink = new UplinkFuzz(directory, random.fork());
      const sources = [{ name: 'messages', share: 1, lanes: 1, draw: (own: Randomness) => uplink.input(own) }];
      return sumOf(await attack({ sources, random, check: unhurt }, inputs));
    },
  },
  {
    name: 'configuration',
    share: 0.1,
    async run(_, random, inputs) {
      const sources = [{ name: 'texts', share: 1, lanes: 1, draw: configInput }];
      return sumOf(await attack({ sources, random, check: unhurt }, inputs));
    },
  },
];

/** Runs one part; resolves with how many inputs that were. @throws with what was wrong, and the inputs that did it */
export async function fuzz(part: (typeof fuzzParts)[number], { inputs, seed, say }: FuzzOptions): Promise<number> {
  removeAbandonedDirectories(prefix);
  const directory = ownedDirectory(prefix);
  try {
    return await part.run(directory, new Randomness(seed), Math.ceil(inputs * part.share), say);
  } finally {
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  }
}
