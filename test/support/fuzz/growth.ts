/** Whether what a program holds goes on growing with what is sent to it. */
import { median } from '../statistics.ts';

/** What was held when so many inputs had been sent. */
export interface Measure {
  readonly inputs: number;
  readonly bytes: number;
}

/** Over fewer inputs what is seen is how full a buffer just was: half a MiB up or down. */
const inputsMin = 100_000;
/** Bytes an input: what is kept of each shows in this long before the sum of it does. */
const growthMax = 40;

/**
 * Bytes an input, of the later half of the measures: caches have filled by then. The median of the slopes between any two, so that one
 * measure that stands out decides nothing. Null: they are of too few inputs to tell.
 */
export function growthPerInput(measures: readonly Measure[]): number | null {
  const later = measures.slice(Math.floor(measures.length / 2) - 1);
  const [first, last] = [later[0], later.at(-1)];
  if (first === undefined || last === undefined || last.inputs - first.inputs < inputsMin) return null;
  const slopes = later.flatMap((one, index) =>
    later.slice(index + 1).map((other) => (other.bytes - one.bytes) / (other.inputs - one.inputs)),
  );
  return median(slopes);
}

/** What was seen, for a person. @throws where something is kept of every input */
export function expectNoGrowth(heap: readonly Measure[]): string {
  const perInput = growthPerInput(heap);
  if (perInput === null) return 'too few inputs to see what stays of each';
  const words = `in the later half ${perInput.toFixed(1)} bytes of heap stay of each input`;
  if (perInput > growthMax) throw new Error(`${words}, more than ${growthMax}`);
  return words;
}
