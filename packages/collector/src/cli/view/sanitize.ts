/**
 * Other people's text on the operator's terminal. A log line can hold sequences that recolour, move, retitle or even make
 * the terminal type (CWE-150), and characters that reorder what a reader sees (CVE-2021-42574) or begin a new line for some
 * terminals and not for others (U+2028, U+2029). Colours are dropped; every other control character is made visible. Tabs stay.
 */
export function sanitize(text: string): string {
  const trimmed = text.endsWith('\r') ? text.slice(0, -1) : text;
  return harmful.test(trimmed) ? trimmed.replace(colours, '').replaceAll(everyHarmful, visible) : trimmed;
}

/** C0 without the tab, DEL, C1; marks and overrides of direction; line and paragraph separators. */
const harmfulClass = String.raw`[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]`;
const harmful = new RegExp(harmfulClass);
const everyHarmful = new RegExp(harmfulClass, 'g');
// oxlint-disable-next-line eslint/no-control-regex -- control characters are what this is about.
const colours = /\u001b\[[\d;:]*m/g;

function visible(character: string): string {
  if (character === '\n') return String.raw`\n`;
  if (character === '\r') return String.raw`\r`;
  const code = character.charCodeAt(0);
  return code < 0x100 ? String.raw`\x${code.toString(16).padStart(2, '0')}` : unicodeEscape(character);
}

const unicodeEscape = (character: string): string => String.raw`\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** JSON on one line. The same document: what could harm a terminal is written as an escape, which JSON.stringify does for C0 only. */
export const safeJson = (value: unknown): string => JSON.stringify(value).replaceAll(everyHarmful, unicodeEscape);
