/** What is wrong with the lines that were stored, in a few words: thousands of them side by side tell nobody what happened. */

/** Those of `some` that are not among `others`, each as often as it is missing there. */
export function without(some: readonly string[], others: readonly string[]): readonly string[] {
  const left = new Map<string, number>();
  for (const line of others) left.set(line, (left.get(line) ?? 0) + 1);
  return some.filter((line) => {
    const count = left.get(line) ?? 0;
    left.set(line, count - 1);
    return count <= 0;
  });
}

/** Null: every line that was written is stored once, in order, and nothing else. */
export function lineDifference(stored: readonly string[], written: readonly string[]): string | null {
  const at = Array.from({ length: Math.max(stored.length, written.length) }).findIndex((_, index) => stored[index] !== written[index]);
  if (at < 0) return null;
  const [missing, surplus] = [without(written, stored), without(stored, written)];
  return [
    `${stored.length} lines stored of ${written.length} written`,
    `line ${at + 1}: stored ${named(stored[at])}, written ${named(written[at])}`,
    `missing: ${summary(missing)}`,
    `doubled or never written: ${summary(surplus)}`,
    ...(missing.length + surplus.length === 0 ? ['they are in another order'] : []),
  ].join('; ');
}

const named = (line: string | undefined): string => (line === undefined ? 'nothing' : `"${shortened(line)}"`);

const shortened = (line: string): string => (line.length > 80 ? `${line.slice(0, 80)}… (${line.length})` : line);

/** The first and the last one tell whether it is an end, a beginning or a piece. */
function summary(lines: readonly string[]): string {
  const [first, last] = [lines.at(0), lines.at(-1)];
  return lines.length < 2
    ? `${lines.length}${first === undefined ? '' : ` (${named(first)})`}`
    : `${lines.length} (${named(first)} to ${named(last)})`;
}
