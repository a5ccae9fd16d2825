/**
 * A million inputs that nobody should send, to everything that listens, answers or reads (test/support/fuzz): no end, no defect, no leak.
 *
 *   npm run bench -- fuzz [INPUTS [SEED]]
 */
import { formatDurationMs } from '@relight/shared/units';
import { fuzz, fuzzParts } from '../support/fuzz/fuzz-all.ts';

export async function run([count = '1000000', given]: readonly string[]): Promise<void> {
  const [inputs, seed] = [Number(count), Number(given ?? Date.now() % 2 ** 31)];
  if (!(inputs >= 1_000 && Number.isInteger(seed))) throw new Error('INPUTS is a number from 1000 up, SEED an integer');
  console.log(`${inputs} inputs, seed ${seed}`);
  for (const part of fuzzParts) {
    const began = performance.now();
    console.log(part.name);
    const done = await fuzz(part, { inputs, seed, say: (line) => console.log(`  ${line}`) });
    console.log(`  ${done} inputs in ${formatDurationMs(Math.round(performance.now() - began))}, nothing wrong`);
  }
}
