/** What happens in one round of a disk trial, drawn beforehand: which disk is full from when to when, and who is killed when. Pure. */

export type Side = 'agent' | 'collector';
export const sides: readonly Side[] = ['agent', 'collector'];

/** Milliseconds from the beginning of the round. */
export interface Plan {
  readonly full: readonly { readonly disk: Side; readonly from: number; readonly to: number }[];
  readonly kills: readonly { readonly program: Side; readonly at: number; readonly forMs: number }[];
}

/** Long enough for everybody to have said it, where nobody is killed. */
const fullMsMin = 1_000;

/** `below`: a random whole number below a limit. */
export function planRound(below: (limit: number) => number, lengthMs: number): Plan {
  // Each disk alone, both, or, one time in seven, only the programs.
  const disks = [[sides[0]], [sides[1]], sides][below(7) >> 1] ?? [];
  const full = disks.flatMap((disk) => {
    const from = below(lengthMs / 4);
    return disk === undefined ? [] : [{ disk, from, to: from + fullMsMin + below(lengthMs - from - fullMsMin) }];
  });
  const kills = sides.flatMap((program) =>
    Array.from({ length: below(4) }, () => ({ program, at: below(lengthMs), forMs: below(lengthMs / 8) })),
  );
  return { full, kills: kills.toSorted((a, b) => a.at - b.at) };
}

export const planText = ({ full, kills }: Plan): string =>
  [
    ...full.map(({ disk, from, to }) => `${disk}'s disk full ${seconds(from)}–${seconds(to)}`),
    ...kills.map(({ program, at, forMs }) => `${program} killed ${seconds(at)} for ${seconds(forMs)}`),
  ].join(', ');

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;
