/** Shell completions of a command line, made of its own parser. */
import { allCommands, optionsOf, type Program, type ProgramOption, type Step, subcommands } from './programs.ts';

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

export function completion(shell: Shell, program: Program): string {
  return { bash, zsh, fish }[shell](program);
}

/** What follows an option: one of these words, a file, or anything. Null: nothing does. */
type Value = { readonly words: readonly string[] } | 'file' | 'anything' | null;

function valueOf(option: ProgramOption): Value {
  if (!option.required && !option.optional) return null;
  if (option.argChoices !== undefined) return { words: option.argChoices };
  return /<(?:file|dir|path|socket)>/.test(option.flags) ? 'file' : 'anything';
}

const flagsOf = (option: ProgramOption): readonly string[] =>
  [option.short, option.long].filter((flag): flag is string => flag !== undefined);

/** Arguments that are files; others are names that only the running service knows. */
const takesFile = ({ command }: Step): boolean => command.registeredArguments.some((argument) => /^(?:file|dir)$/.test(argument.name()));

const functionName = (program: Program): string => `_${program.name().replaceAll('-', '_')}`;
/** `description` may hold anything but what ends a single-quoted word. */
const quoted = (part: string): string => `'${part.replaceAll("'", "'\\''")}'`;

/** Those of the whole program are good behind a command as well. */
function optionsAt(step: Step, program: Program): readonly ProgramOption[] {
  const own = optionsOf(step.command);
  const known = new Set(own.flatMap(flagsOf));
  return [...own, ...program.options.filter((option) => option.long !== '--version' && !flagsOf(option).some((flag) => known.has(flag)))];
}

function bash(program: Program): string {
  const steps = allCommands(program);
  const words = steps.map((step) => {
    const options = optionsAt(step, program).flatMap(flagsOf);
    const commands = subcommands(step.command).map((command) => command.name());
    return `    ${quoted(step.path.join(' '))}) words=${quoted([...commands, ...options].join(' '))} ;;`;
  });
  const values = steps.flatMap((step) =>
    optionsAt(step, program).flatMap((option) => {
      const value = valueOf(option);
      if (value === null) return [];
      const action =
        value === 'anything'
          ? 'return'
          : value === 'file'
            ? 'file=1'
            : `COMPREPLY=($(compgen -W ${quoted(value.words.join(' '))} -- "$cur")); return`;
      return flagsOf(option).map((flag) => `    ${quoted(`${step.path.join(' ')} ${flag}`)}) ${action} ;;`);
    }),
  );
  const below = steps.slice(1).map((step) => `      ${quoted(step.path.join(' '))}) at="$at $word" ;;`);
  const files = steps.filter(takesFile).map((step) => quoted(step.path.join(' ')));
  const name = functionName(program);
  return `# bash completion of ${program.name()}; made of its command line.
${name}() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} at=${program.name()} word words='' file=
  COMPREPLY=()
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$at $word" in
${below.join('\n')}
    esac
  done
  case "$at $prev" in
${values.join('\n')}
  esac
  case "$at" in
${words.join('\n')}
  esac
  case "$at" in ${files.length === 0 ? "'')" : `${files.join(' | ')})`} file=1 ;; esac
  if [ -n "$file" ] && [[ $cur != -* ]]; then
    compopt -o filenames 2>/dev/null
    COMPREPLY=($(compgen -f -- "$cur"))
  else
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
  fi
}
complete -F ${name} ${program.name()}
`;
}

function zsh(program: Program): string {
  const body = (step: Step): string => {
    const name = `${functionName(program)}${step.path
      .slice(1)
      .map((part) => `__${part.replaceAll('-', '_')}`)
      .join('')}`;
    const commands = subcommands(step.command);
    const specs = optionsAt(step, program).flatMap((option) => {
      const value = valueOf(option);
      const what = option.description.replaceAll(/[[\]:\\]/g, ' ');
      const follows =
        value === null ? '' : `:value:${value === 'file' ? '_files' : value === 'anything' ? '' : `(${value.words.join(' ')})`}`;
      return flagsOf(option).map((flag) => quoted(`${flag}[${what}]${follows}`));
    });
    const rest =
      commands.length > 0 ? [`'1:command:->command'`, `'*::argument:->argument'`] : [takesFile(step) ? `'*:file:_files'` : `'*: :'`];
    const list = commands.map((command) => quoted(`${command.name()}:${command.summary() || command.description()}`));
    const cases = commands.map((command) => `        ${command.name()}) ${name}__${command.name().replaceAll('-', '_')} ;;`);
    const states =
      commands.length === 0
        ? ''
        : `
  case "$state" in
    command)
      local -a commands=(
        ${list.join('\n        ')}
      )
      _describe command commands ;;
    argument)
      case "$line[1]" in
${cases.join('\n')}
      esac ;;
  esac`;
    return `${name}() {
  local state line
  _arguments -C \\
    ${[...specs, ...rest].join(' \\\n    ')}${states}
}
`;
  };
  return `#compdef ${program.name()}
# zsh completion; made of the command line of ${program.name()}.
${allCommands(program).map(body).join('\n')}
${functionName(program)} "$@"
`;
}

function fish(program: Program): string {
  const name = program.name();
  const lines = allCommands(program).flatMap((step) => {
    const [, ...seen] = step.path;
    const commands = subcommands(step.command);
    const here = seen.map((part) => `__fish_seen_subcommand_from ${part}`);
    const notYet = commands.length > 0 ? [`not __fish_seen_subcommand_from ${commands.map((command) => command.name()).join(' ')}`] : [];
    const condition = [...here, ...notYet].join('; and ');
    const when = condition === '' ? '' : ` -n ${quoted(condition)}`;
    const below = commands.map(
      (command) => `complete -c ${name} -f${when} -a ${command.name()} -d ${fishText(command.summary() || command.description())}`,
    );
    const options = optionsAt(step, program).map((option) => {
      const value = valueOf(option);
      const flags = flagsOf(option).map((flag) => (flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`));
      const follows =
        value === null ? '' : value === 'file' ? ' -r -F' : value === 'anything' ? ' -x' : ` -x -a ${quoted(value.words.join(' '))}`;
      return `complete -c ${name}${when} ${flags.join(' ')}${follows} -d ${fishText(option.description)}`;
    });
    return [...below, ...options, ...(commands.length === 0 && !takesFile(step) ? [`complete -c ${name} -f${when}`] : [])];
  });
  return `# fish completion of ${name}; made of its command line.\n${lines.join('\n')}\n`;
}

/** In fish a backslash ends nothing but itself and the quote. */
const fishText = (part: string): string => `'${part.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
