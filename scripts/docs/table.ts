/** Tables as Markdown. */

export const notice = (source: string): string => `<!-- Written by \`npm run docs\` out of ${source}: change it there. -->`;

export function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `|${cells.map((text) => (cell(text) === '' ? ' ' : ` ${cell(text)} `)).join('|')}|`;
  return [line(titles), `|${titles.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n');
}

const cell = (text: string): string => text.replaceAll(/\s+/g, ' ').replaceAll('|', '\\|').trim();
