/**
 * The level behind a time and up to three names: `2026-01-31 12:00:00,123 some.logger ERROR text`, `… - some.logger - ERROR - text`,
 * `[…] [main] ERROR`. Names may hold dashes, and dashes stand between them: as one regular expression this is tried in every
 * way in which a row of dashes can be divided among them, and a line of a date and eighty dashes took more than a minute. Pure.
 */
const date = /^\[?\d{4}[-/]\d\d[-/]\d\d/;

/** What a character may be: of what stands between time and names, of a name, of what stands behind one. */
const kinds = [/[\d\s.,:;|/+TZ(){}[\]<>*=-]/, /[\w./$@[\]:-]/, /[\s|-]/] as const;
const [decoration, name, separator] = [1, 2, 4];
const kindOf = (character: string): number => kinds.reduce((sum, kind, index) => sum + (kind.test(character) ? 1 << index : 0), 0);
const ascii = Uint8Array.from({ length: 128 }, (_, code) => kindOf(String.fromCharCode(code)));

/** Where one may be, as a set of bits: 1 in the decoration; then in the first name, behind it, in the second, behind it … */
const behindName = 0b101_0100;
const inName = 0b010_1010;

/** @param capitals the words, as alternatives of a regular expression */
export function levelBehindNames(capitals: string): (head: string) => RegExpExecArray | null {
  const anywhere = new RegExp(String.raw`\[?(${capitals})(?=[\s:,|\]-]|$)`);
  const here = new RegExp(anywhere, 'y');
  return (head) => {
    const start = date.exec(head)?.[0].length;
    if (start === undefined || !anywhere.test(head)) return null;
    let found: RegExpExecArray | null = null;
    let places = 1;
    for (let index = start; index < head.length && places !== 0; index += 1) {
      if ((places & behindName) !== 0) {
        here.lastIndex = index;
        found = here.exec(head) ?? found;
      }
      places = step(places, ascii[head.charCodeAt(index)] ?? kindOf(head.charAt(index)));
    }
    return found;
  };
}

function step(places: number, kind: number): number {
  const stays = ((kind & decoration) === 0 ? 0 : 1) | ((kind & name) === 0 ? 0 : inName) | ((kind & separator) === 0 ? 0 : behindName);
  return (places & stays) | ((places << 1) & stays & ~1);
}
