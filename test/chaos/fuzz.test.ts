/**
 * Everything that listens, answers or reads, under what nobody should send to it, with tokens and without: nothing ends, answers with
 * a defect, tells anything without a token, or keeps memory or descriptors; and an agent that behaves loses nothing meanwhile.
 * Others and more: RELIGHT_FUZZ_SEED, RELIGHT_FUZZ=100000; `npm run bench -- fuzz` for a million. What is sent comes of the seed, in
 * which order it meets what else is under way does not.
 */
import { expect, test } from 'vitest';
import { fuzz, fuzzParts } from '../support/fuzz/fuzz-all.ts';

const seed = Number(process.env['RELIGHT_FUZZ_SEED'] ?? 20_261_122);
const inputs = Number(process.env['RELIGHT_FUZZ'] ?? 20_000);
/** On a machine on which everything else is tested as well. */
const msPerInput = 30;

test.each(fuzzParts)('$name', { timeout: 240_000 + inputs * msPerInput }, async (part) => {
  console.log(`seed ${seed}`);
  expect(await fuzz(part, { inputs, seed, say: console.log })).toBeGreaterThanOrEqual(inputs * part.share);
});
