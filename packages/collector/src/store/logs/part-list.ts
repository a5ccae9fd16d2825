/** The stored form of what a piece was merged of: a flat JSON list of differences, a few bytes a part. Pure. */
import type { LogPart } from './port.ts';

/** Per part: id less that of the last part (so 0 for the last one), lines, time of receipt less that of the part before. */
export function writeParts(parts: readonly LogPart[]): string {
  const lastId = parts.at(-1)?.id ?? 0;
  return JSON.stringify(
    parts.flatMap(({ id, lines, receivedAt }, index) => [lastId - id, lines, receivedAt - (parts[index - 1]?.receivedAt ?? 0)]),
  );
}

export function readParts(text: string, lastId: number): LogPart[] {
  const numbers = JSON.parse(text) as number[];
  const parts: LogPart[] = [];
  let receivedAt = 0;
  for (let at = 0; at + 2 < numbers.length; at += 3) {
    receivedAt += numbers[at + 2] ?? 0;
    parts.push({ id: lastId - (numbers[at] ?? 0), lines: numbers[at + 1] ?? 0, receivedAt });
  }
  return parts;
}
