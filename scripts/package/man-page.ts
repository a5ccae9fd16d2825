/** man(7) pages of a command line, made of its own parser: whatever `--help` says stands there, for every command. */
import { allCommands, notesOf, optionsOf, type Program, type Step, subcommands } from './programs.ts';

export interface ManPageOptions {
  readonly program: Program;
  readonly version: string;
  /** Of the sources. */
  readonly date: Date;
  /** File → what it is for. */
  readonly files: Readonly<Record<string, string>>;
  /** Further pages: `relight-agent(1)`, `systemctl(1)`. */
  readonly seeAlso: readonly string[];
}

/** The text of NAME.1. */
export function manPage({ program, version, date, files, seeAlso }: ManPageOptions): string {
  const name = program.name();
  const lines = [
    `.TH ${quoted(name.toUpperCase())} 1 ${quoted(date.toISOString().slice(0, 10))} ${quoted(`Relight ${version}`)} "Relight"`,
    // Commands stand there to be copied: no hyphenation, no filling up of lines.
    '.nh',
    '.ad l',
    '.SH NAME',
    `${text(name)} \\- ${text(program.description().replace(/\.$/, ''))}`,
    '.SH SYNOPSIS',
    `.B ${text(name)}`,
    '[\\fIoptions\\fR] \\fIcommand\\fR [\\fIargument\\fR ...]',
    '.SH OPTIONS',
    ...optionList(program),
    '.SH COMMANDS',
    ...allCommands(program)
      .filter(({ path, command }) => path.length > 1 && subcommands(command).length === 0)
      .flatMap(commandPart),
    ...notes(program, '.SH'),
    '.SH FILES',
    ...Object.entries(files).flatMap(([file, what]) => ['.TP', `.I ${text(file)}`, text(what)]),
    '.SH SEE ALSO',
    seeAlso.map((page) => text(page).replace(/^(.*)(\(\d\))$/, '\\fB$1\\fR$2')).join(', '),
  ];
  return `${lines.join('\n')}\n`;
}

function commandPart({ path, command }: Step): readonly string[] {
  return [
    `.SS ${quoted(`${path.join(' ')} ${command.usage()}`)}`,
    text(command.description()),
    ...command.registeredArguments.flatMap((argument) =>
      argument.description === '' ? [] : ['.TP', `.I ${text(argument.name())}`, text(argument.description)],
    ),
    ...optionList(command),
    ...notes(command, '.PP'),
  ];
}

function optionList(command: Program): readonly string[] {
  const help = command.createHelp();
  return optionsOf(command).flatMap((option) => ['.TP', `.B ${text(help.optionTerm(option))}`, text(help.optionDescription(option))]);
}

/** `Title:` and what is indented below it keeps its lines; the rest is plain text. */
function notes(command: Program, heading: '.SH' | '.PP'): readonly string[] {
  const lines: string[] = [];
  for (const block of notesOf(command).trim().split('\n\n')) {
    if (block === '') continue;
    const [first = '', ...rest] = block.split('\n');
    const title = /^(.+?):\s*(.*)$/.exec(first);
    lines.push(...(heading === '.SH' && title !== null ? [`.SH ${quoted((title[1] ?? '').toUpperCase())}`] : ['.PP']));
    const inline = heading === '.SH' ? title?.[2] : first;
    lines.push('.nf', ...(inline === undefined || inline === '' ? [] : [text(inline)]), ...rest.map(text), '.fi');
  }
  return lines;
}

const quoted = (part: string): string => `"${text(part).replaceAll('"', '\\(dq')}"`;

/**
 * What roff would take for its own: backslashes, a dot or quote at a line's start, and hyphens, which must stay to be copied. In the C
 * locale it knows no ellipsis, and warns where the page should be.
 */
function text(plain: string): string {
  return plain
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('…', '...')
    .replaceAll(/\s*\n\s*/g, plain.includes('\n') ? '\n' : ' ')
    .replaceAll(/^([.'])/gm, '\\&$1');
}
