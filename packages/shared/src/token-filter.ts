/**
 * Which tokens a block of log lines may hold: a split-block Bloom filter (as in Apache Parquet: blocks of 32 bytes, eight
 * words of 32 bits, one bit in each). It never misses a token that is there; of those that are not it takes about 1 in 200
 * for present. A filter has any number of blocks; the agent builds a large one and folds it while at most half of its bits are set.
 *
 * A token is a maximal run of `[0-9A-Za-z_]` and bytes from 0x80 on, 2 to 64 bytes long, A–Z lower-cased; a run of up to
 * four digits alone is none: numbers that small are everywhere.
 */
export const tokenBytesMin = 2;
export const tokenBytesMax = 64;
const plainDigitsMax = 4;

export const filterBlockBytes = 32;
const wordsPerBlock = 8;
/** 120 KiB, enough for 85,000 tokens; with more, a filter says yes too often. */
const blocksMax = 3_840;
/**
 * Before it is folded. 3 · 5 · 2^10, because folding joins m neighbours where m divides the number of blocks: with many
 * divisors, of which the smallest are not needed, a folded filter comes close to the load that is wanted.
 */
const unfoldedBlocksMax = 4 * blocksMax;
/** Of a filter before it is folded; one of 22 is half full. */
const tokensPerBlock = 5;

/** Those of Parquet. */
const salts = [0x47b6137b, 0x44974d91, 0x8824ad5b, 0xa2b7289d, 0x705495c7, 0x2df1424b, 0x9efc4947, 0x5c6bfb31] as const;
const [salt0, salt1, salt2, salt3, salt4, salt5, salt6, salt7] = salts;

/** By byte: 0 separates, otherwise the byte as it is hashed. */
const foldedBytes = Uint8Array.from({ length: 256 }, (_, byte) => {
  if (byte >= 0x41 && byte <= 0x5a) return byte + 0x20;
  const isToken = (byte >= 0x30 && byte <= 0x39) || (byte >= 0x61 && byte <= 0x7a) || byte === 0x5f || byte >= 0x80;
  return isToken ? byte : 0;
});
const digitNine = 0x39;

const fnvOffset = 0x811c9dc5 | 0;
const fnvPrime = 16_777_619;

const scratch = new Int32Array(unfoldedBlocksMax * wordsPerBlock);
/** Hashes of tokens that wait for a filter of the right size. */
const waiting = new Int32Array(unfoldedBlocksMax * tokensPerBlock);
/** Hashes that wait already, by their last bits: most tokens of a log come again and again. */
const recent = new Int32Array(4_096);

/** The filter of `text`; at least one block. Functions called hot… run over every byte and bit: the agent has them compiled for speed (v8-flags.ts). */
export function buildTokenFilter(text: Uint8Array): Uint8Array {
  // No hash belongs where it is not: one of 0 must not be taken for one that waits already.
  recent.fill(0);
  recent[0] = 1;
  const tokens = { position: 0, count: 0 };
  hotCollect(text, tokens);
  const blocks = foldsOf(unfoldedBlocksMax).findLast((count) => count * tokensPerBlock > tokens.count) ?? unfoldedBlocksMax;
  const words = scratch.subarray(0, blocks * wordsPerBlock).fill(0);
  hotAdd(tokens.count, words, blocks);
  while (tokens.position <= text.length) {
    hotCollect(text, tokens);
    hotAdd(tokens.count, words, blocks);
  }
  const least = hotBlocksAtHalf(words, blocks) * 0.95;
  const fits = (count: number): boolean => count >= least && count <= blocksMax && hotStaysHalfEmpty(words, blocks, count);
  const folded = foldsOf(blocks).findLast(fits) ?? Math.min(blocks, blocksMax);
  hotFold(words, blocks, folded);
  return littleEndian(words, folded);
}

/** False: `token` (of `tokensOf`) is in no line. A filter of a length that makes no sense may hold everything. */
export function filterMayHold(filter: Uint8Array, token: string): boolean {
  const blocks = filter.length / filterBlockBytes;
  if (blocks < 1 || !Number.isInteger(blocks)) return true;
  const probe = probeOf(token);
  const start = ((probe.share * blocks) >>> shareBits) * filterBlockBytes;
  return blockMayHold(filter.subarray(start, start + filterBlockBytes), probe);
}

/** What of a filter one token depends on: a single block, and a bit in each of its words. */
export interface TokenProbe {
  /** Of a filter of n blocks it is block `share * n >> shareBits`. */
  readonly share: number;
  readonly bits: readonly number[];
}
export const shareBits = 17;

export function probeOf(token: string): TokenProbe {
  let hash = fnvOffset;
  for (const byte of Buffer.from(token)) hash = Math.imul(hash ^ (foldedBytes[byte] ?? 0), fnvPrime);
  const key = mixed(hash);
  return { share: shareOf(hash), bits: Array.from(salts, (salt) => 1 << (Math.imul(key, salt) >>> 27)) };
}

/** `block`: the one block of a filter that the token depends on, of `filterBlockBytes` bytes. */
export function blockMayHold(block: Uint8Array, { bits }: TokenProbe): boolean {
  const view = new DataView(block.buffer, block.byteOffset, block.byteLength);
  return bits.every((bit, word) => (view.getInt32(4 * word, true) & bit) !== 0);
}

/**
 * The tokens of a text that must all be in a block that holds it, when the text is bounded there by what is in no token.
 * Letters outside of ASCII that have two cases are left to the exact comparison, and so is U+FFFD, which stands for any byte.
 */
export function tokensOf(text: string): string[] {
  const runs = text.match(/[0-9A-Za-z_\u0080-\u{10ffff}]+/gu) ?? [];
  return runs.flatMap((run) => {
    const bytes = Buffer.byteLength(run);
    const small = bytes < tokenBytesMin || (bytes <= plainDigitsMax && /^[0-9]+$/.test(run));
    return small || bytes > tokenBytesMax || !sameInEveryCase(run) ? [] : [run.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase())];
  });
}

function sameInEveryCase(run: string): boolean {
  for (const letter of run) {
    if (letter < '\u0080') continue;
    if (letter === '\ufffd' || !letter.isWellFormed() || letter.toLowerCase() !== letter.toUpperCase()) return false;
  }
  return true;
}

/** From `position` on: tokens to `waiting`, until it is full or the text at its end. */
function hotCollect(text: Uint8Array, tokens: { position: number; count: number }): void {
  let { position } = tokens;
  let count = 0;
  let hash = fnvOffset;
  let length = 0;
  let digits = 0;
  for (; position <= text.length && count < waiting.length; position += 1) {
    const byte = position < text.length ? (foldedBytes[text[position] as number] as number) : 0;
    if (byte !== 0) {
      hash = Math.imul(hash ^ byte, fnvPrime);
      length += 1;
      if (byte <= digitNine) digits += 1;
    } else if (length !== 0) {
      const counts = length >= tokenBytesMin && length <= tokenBytesMax && !(digits === length && digits <= plainDigitsMax);
      if (counts && recent[hash & 4_095] !== hash) {
        recent[hash & 4_095] = hash;
        waiting[count] = hash;
        count += 1;
      }
      hash = fnvOffset;
      length = 0;
      digits = 0;
    }
  }
  tokens.position = position;
  tokens.count = count;
}

function hotAdd(count: number, words: Int32Array, blocks: number): void {
  for (let index = 0; index < count; index += 1) {
    const hash = waiting[index] as number;
    const key = mixed(hash);
    const start = blockOf(hash, blocks) * wordsPerBlock;
    words[start] = (words[start] as number) | (1 << (Math.imul(key, salt0) >>> 27));
    words[start + 1] = (words[start + 1] as number) | (1 << (Math.imul(key, salt1) >>> 27));
    words[start + 2] = (words[start + 2] as number) | (1 << (Math.imul(key, salt2) >>> 27));
    words[start + 3] = (words[start + 3] as number) | (1 << (Math.imul(key, salt3) >>> 27));
    words[start + 4] = (words[start + 4] as number) | (1 << (Math.imul(key, salt4) >>> 27));
    words[start + 5] = (words[start + 5] as number) | (1 << (Math.imul(key, salt5) >>> 27));
    words[start + 6] = (words[start + 6] as number) | (1 << (Math.imul(key, salt6) >>> 27));
    words[start + 7] = (words[start + 7] as number) | (1 << (Math.imul(key, salt7) >>> 27));
  }
}

/** Which bits: another value of the same hash than the one that chooses the block. */
function mixed(hash: number): number {
  const once = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return Math.imul(once ^ (once >>> 13), 0xc2b2ae35);
}

/** The share of the hash's range that it lies in: block `b` of n·m blocks is block ⌊b / m⌋ of n. 17 bits, so that products stay small integers. */
function blockOf(hash: number, blocks: number): number {
  return (shareOf(hash) * blocks) >>> shareBits;
}

function shareOf(hash: number): number {
  const spread = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return (spread ^ (spread >>> 12)) >>> (32 - shareBits);
}

/** What `blocks` can be folded to, descending, itself included. */
function foldsOf(blocks: number): readonly number[] {
  let folds = foldsBySize.get(blocks);
  if (folds === undefined) {
    folds = Array.from({ length: blocks }, (_, index) => blocks - index).filter((count) => blocks % count === 0);
    foldsBySize.set(blocks, folds);
  }
  return folds;
}
const foldsBySize = new Map<number, readonly number[]>();

/** About how many blocks would be half full of what is in these. */
function hotBlocksAtHalf(words: Int32Array, blocks: number): number {
  let set = 0;
  for (const word of words) set += bitsSet(word);
  const load = set / (blocks * filterBlockBytes * 8);
  return (blocks * Math.log(1 - load)) / Math.log(0.5);
}

function hotStaysHalfEmpty(words: Int32Array, blocks: number, fewer: number): boolean {
  const joined = blocks / fewer;
  let set = 0;
  for (let block = 0; block < fewer; block += 1) {
    for (let word = 0; word < wordsPerBlock; word += 1) set += bitsSet(joinedWord(words, block, word, joined));
  }
  return set <= (fewer * filterBlockBytes * 8) / 2;
}

/** In place: a joined block lies before those that it is made of. */
function hotFold(words: Int32Array, blocks: number, fewer: number): void {
  const joined = blocks / fewer;
  for (let block = 0; block < fewer; block += 1) {
    for (let word = 0; word < wordsPerBlock; word += 1) words[block * wordsPerBlock + word] = joinedWord(words, block, word, joined);
  }
}

function joinedWord(words: Int32Array, block: number, word: number, joined: number): number {
  let bits = 0;
  for (let index = 0; index < joined; index += 1) bits |= words[(block * joined + index) * wordsPerBlock + word] as number;
  return bits;
}

function bitsSet(word: number): number {
  const pairs = word - ((word >>> 1) & 0x55555555);
  const fours = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333);
  return Math.imul((fours + (fours >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

function littleEndian(words: Int32Array, blocks: number): Uint8Array {
  const bytes = Buffer.from(words.buffer, words.byteOffset, blocks * filterBlockBytes);
  return new Uint8Array(bytes); // a copy: the words are used again
}
