/** Which blocks of a log file are joined when it is sealed. Pure. */
import { blockRawBytesMax } from '@relight/shared/log-block';

export interface Joinable {
  readonly id: number;
  readonly stream: number;
  readonly from_offset: number;
  readonly to_offset: number;
  readonly first_at: number;
  readonly last_at: number;
  readonly raw_bytes: number;
  readonly gap: string | null;
}

/**
 * Groups of neighbours of one stream: without a gap or a jump of the clock between them, which their times and ranges could not
 * tell any more, and together of no more than a block may have. `rows` are sorted by stream and id; the groups come in the order of
 * their last ids, under which they will be found.
 */
export function planJoins<Row extends Joinable>(rows: readonly Row[], rawBytesMax = blockRawBytesMax): Row[][] {
  const groups: Row[][] = [];
  let bytes = 0;
  for (const row of rows) {
    const group = groups.at(-1);
    const last = group?.at(-1);
    const fits = last !== undefined && joins(last, row) && bytes + row.raw_bytes <= rawBytesMax;
    bytes = fits ? bytes + row.raw_bytes : row.raw_bytes;
    if (fits) group?.push(row);
    else groups.push([row]);
  }
  return groups.toSorted((a, b) => (a.at(-1)?.id ?? 0) - (b.at(-1)?.id ?? 0));
}

function joins(last: Joinable, next: Joinable): boolean {
  if (last.gap !== null || next.gap !== null || last.stream !== next.stream) return false;
  return last.to_offset === next.from_offset && next.first_at >= last.last_at;
}
