/** The pages that people read, as data: tests hold their examples and tables against the code. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');

export const readPage = (path: string): string => readFileSync(join(root, path), 'utf8');

export interface Example {
  /** `docs/configuration.md:42` */
  readonly place: string;
  readonly text: string;
}

/** Every YAML block of README.md and docs/*.md, without the indentation that it has inside a list. */
export function yamlExamples(): readonly Example[] {
  const pages = ['README.md', ...readdirSync(join(root, 'docs')).flatMap((name) => (name.endsWith('.md') ? [`docs/${name}`] : []))];
  return pages.flatMap((page) => {
    const text = readPage(page);
    return [...text.matchAll(/^( *)```yaml\n([\s\S]*?)^\1```$/gm)].map((match) => ({
      place: `${page}:${text.slice(0, match.index).split('\n').length}`,
      text: (match[2] ?? '').replaceAll(new RegExp(`^${match[1]}`, 'gm'), ''),
    }));
  });
}

/** An operator's file begins with where the collector is. */
export const isOperatorExample = ({ text }: Example): boolean => text.startsWith('url:');

/** An agent's file has workloads; whatever else a page shows as YAML is a collector's. */
export const isAgentExample = ({ text }: Example): boolean => /^workloads:/m.test(text);

export interface Row {
  /** The nearest heading above, in words: `workloads[].container`. */
  readonly section: string;
  readonly cells: readonly string[];
}

/** The rows of every table whose first column is headed `title`. */
export function tableRows(page: string, title: string): readonly Row[] {
  const rows: Row[] = [];
  let section = '';
  let inside = false;
  for (const line of page.split('\n')) {
    if (line.startsWith('#')) section = line.replaceAll(/^#+ |`/g, '');
    if (!line.startsWith('|')) inside = false;
    else if (line.startsWith(`| ${title} |`)) inside = true;
    else if (inside && !/^\|[-|]+$/.test(line)) {
      const cells = line.slice(1, -1).split('|');
      rows.push({ section, cells: cells.map((cell) => cell.trim()) });
    }
  }
  return rows;
}

/** What a cell shows as code, when it shows nothing else. */
export const codeOf = (cell: string | undefined): string | undefined => /^`([^`]*)`$/.exec(cell ?? '')?.[1];
