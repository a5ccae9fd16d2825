/** Whether a block may hold words, by its token filter. */
import { filterMayHold } from '@relight/shared/token-filter';

export const mayHoldWords = (filter: Uint8Array, words: readonly string[]): boolean => words.every((word) => filterMayHold(filter, word));
