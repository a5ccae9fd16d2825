/** Commands of the configuration: text for a shell, or argv. */
import { list, type Reader } from './fields.ts';
import { describe } from './located.ts';
import { fail } from './problems.ts';
import { looseText, text } from './scalars.ts';
import type { Command } from './spec.ts';

/** Text reaches its shell untouched: nothing in it is interpolated. */
export const command: Reader<Command> = (node) => {
  if (node.kind !== 'list') {
    if (node.kind === 'map') fail(node, `must be text or a list of arguments, not ${describe(node)}`);
    return { text: text(node) };
  }
  const argv = list(looseText)(node);
  if (argv.length === 0 || argv[0]?.trim() === '') fail(node, 'must name a program');
  return { argv };
};

/** For people, on one line. */
export function commandTitle(value: Command): string {
  const title = ('text' in value ? value.text : value.argv.join(' ')).replaceAll(/\s+/g, ' ').trim();
  return title.length <= 60 ? title : `${title.slice(0, 59)}…`;
}
