/**
 * The wrapper around every run inside the container. It needs nothing but a POSIX `sh` (dash, busybox ash, bash).
 *
 * - It opens the log (9) and the status file (8) first; when it cannot, or they are not there (the bound directory is not the
 *   one the agent sees), the command does not run. While it lives both can be reached through /proc/PID/fd, even when the
 *   host has lost the directory. The command inherits neither.
 * - The command is its foreground child: background jobs of a shell ignore SIGINT and SIGQUIT. `( exec … )` makes
 *   sure that a program is executed, not a builtin of this shell with the same name, and gives it default signal actions.
 * - `trap :` keeps the wrapper alive through signals to the process group, so that the status is written.
 * - Its own stderr is /dev/null: a shell's "Killed" or "Terminated" is not output of the command.
 */
import type { Command } from '../config/spec.ts';

const wrapper = `exec </dev/null >/dev/null 2>&1
[ -f "$1" ] && [ -f "$2" ] || exit 125
exec 9>>"$1" 8>>"$2" || exit 125
trap : HUP INT QUIT TERM USR1 USR2
( [ -z "$3" ] || mkdir -p -- "$3" || exit; shift 3; exec "$@" ) >&9 2>&9 8>&- 9>&-
relight_code=$?
echo "$relight_code" >&8
exit "$relight_code"`;

const bashOrSh = 'if command -v bash >/dev/null 2>&1; then exec bash -c "$1"; else exec sh -c "$1"; fi';

/** While the wrapper lives: its log and its status file, whatever has become of their names. */
export const logDescriptor = 9;
export const statusDescriptor = 8;

/** What is executed for a command: text is one argument of the shell, byte for byte; `shell` null: bash where there is one, else sh. */
export function commandArgv(command: Command, shell: readonly string[] | null): string[] {
  if ('argv' in command) return [...command.argv];
  return shell === null ? ['sh', '-c', bashOrSh, 'relight-shell', command.text] : [...shell, command.text];
}

/** `directory`: made beforehand (`mkdir -p`), '' for none. Paths are those inside the container. */
export function wrapperArgv(
  files: { readonly log: string; readonly status: string },
  directory: string,
  argv: readonly string[],
): string[] {
  return ['sh', '-c', wrapper, 'relight-run', files.log, files.status, directory, ...argv];
}

/** The exit status out of the status file, null while there is none: `CODE\\n`. */
export function parseStatus(text: string): number | null {
  const match = /^(\d{1,3})\n$/.exec(text);
  return match === null ? null : Number(match[1]);
}
