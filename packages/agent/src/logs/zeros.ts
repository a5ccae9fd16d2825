/** A run of NUL bytes of at least a file-system block is space that was freed (or never reached the disk), not output. */
export const zeroBytesMin = 4_096;
const zeroBlock = Buffer.alloc(zeroBytesMin);

/** How many NUL bytes it begins with, where it is at least a block of them, or all. */
export function leadingZeros(chunk: Buffer): number {
  let zeros = 0;
  while (chunk.length - zeros >= zeroBytesMin && chunk.subarray(zeros, zeros + zeroBytesMin).equals(zeroBlock)) zeros += zeroBytesMin;
  while (zeros < chunk.length && chunk[zeros] === 0) zeros += 1;
  return zeros;
}
