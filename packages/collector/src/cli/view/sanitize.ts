/**
 * Other people's text on the operator's terminal. A log line can hold sequences that recolour, move, retitle or even make
 * the terminal type (CWE-150), and characters that reorder what a reader sees (CVE-2021-42574). Colours are dropped; every
 * other control character is made visible. Tabs stay.
 */
export function sanitize(text: string): string {
  const trimmed = text.endsWith('\r') ? text.slice(0, -1) : text;
  // oxlint-disable-next-line eslint/no-control-regex -- control characters are what this is about.
  return /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/.test(trimmed) ? escape(trimmed) : trimmed;
}

function escape(text: string): string {
  return (
    text
      // oxlint-disable-next-line eslint/no-control-regex -- see above.
      .replace(/\u001b\[[\d;:]*m/g, '')
      // oxlint-disable-next-line eslint/no-control-regex -- see above.
      .replace(/[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, visible)
  );
}

function visible(character: string): string {
  if (character === '\n') return String.raw`\n`;
  if (character === '\r') return String.raw`\r`;
  const code = character.charCodeAt(0);
  return code < 0x100 ? String.raw`\x${code.toString(16).padStart(2, '0')}` : String.raw`\u${code.toString(16)}`;
}
