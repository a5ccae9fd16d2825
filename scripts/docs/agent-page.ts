/** docs/reference/agent-configuration.md. */
import { agentReference } from '@relight/agent/config/reference/agent-reference';
import { appliesOf, topLevel, type SectionReference } from '@relight/agent/config/reference/reference';
import { notice, table } from './table.ts';

const head = `# Agent configuration: every field

${notice('packages/agent/src/config/reference')}

Forms that hold everywhere (durations, sizes, names, paths, commands), variables, secrets, and what stands behind the fields:
[configuration.md](../configuration.md). Headings are paths in the file: \`[]\` is each entry of a list. *Default* says \`required\` where there is none.

*Change* says what a change of the field does while the agent runs ([reload](../agent-service.md#another-configuration)):

| change | |
|---|---|
| none | it holds at once, nothing is restarted |
| process, container | that is made anew, for this workload alone |
| next use | from the next start of anything on |
| starts over | the agent starts over by itself; what runs goes on |
| refused | not while it runs |
| by field | what stands below says it |`;

export const agentPage = (): string => `${[head, ...agentReference.map(section)].join('\n\n')}\n`;

function section({ path, of, anchor, fields }: SectionReference, index: number): string {
  const again = agentReference[index - 1]?.path === path;
  const heading = again ? [] : [`## ${path === topLevel ? path : `\`${path}\``}`];
  const more = anchor === undefined ? [] : [`[More about it](../configuration.md#${anchor})`];
  const whose = of === undefined ? [] : [`Of ${of}:`];
  const rows = Object.entries(fields).map(([name, field]) => [
    `\`${name}\``,
    field.value,
    field.given,
    appliesOf(path, name, field),
    fromHere(field.text),
  ]);
  return [...heading, ...more, ...whose, table(['field', 'value', 'default', 'change', ''], rows)].join('\n\n');
}

/** Links of the reference count from docs/. */
const fromHere = (text: string): string => text.replaceAll(/\]\((?=[a-z])/g, '](../');
