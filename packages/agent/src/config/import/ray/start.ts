/** Ray's start commands → the process and what runs before it. `ray start` must stay in the foreground, so that its end is seen. */
import type { RayCommand } from './cluster.ts';
import type { RayReport } from './report.ts';
import { expandQuotedHome } from './shell-expansions.ts';
import { splitShellList, type ShellPart } from './shell-list.ts';

/** Ray's own, when the file says nothing. */
const defaults: readonly string[] = ['ray stop', 'ulimit -n 65536; ray start --address=$RAY_HEAD_IP:6379 --object-manager-port=8076'];

export interface StartDraft {
  readonly process: { readonly run: string; readonly line: number } | null;
  readonly before: string | null;
  /** Commands without a `ray start` among them: they become steps at the end of the setup. */
  readonly steps: readonly RayCommand[];
  /** `HOST:PORT` of the head as an address template; null: the command does not say it in a form that is understood. */
  readonly headAddress: string | null;
  readonly agentPort: number;
}

/** Ray's default for `--dashboard-agent-listen-port`; the raylet's own health is asked there. */
const agentPort = 52365;
const gcsPort = 6379;

/** @param line of the docker section, where there are no start commands in the file */
export function startCommands(given: readonly RayCommand[] | null, line: number, report: RayReport): StartDraft {
  const commands = given ?? defaults.map((text) => ({ text, line }));
  const at = commands.findLastIndex(({ text }) => rayStart(text) !== null);
  const command = commands[at];
  const found = command === undefined ? null : rayStart(command.text);
  if (command === undefined || found === null) {
    if (commands.length > 0) {
      report.look(
        commands[0]?.line ?? line,
        'no "ray start" among the start commands: they became setup steps, and only checks tell whether Ray works',
      );
    } else {
      report.look(line, 'worker_start_ray_commands is empty: there is no process to supervise; add process: or checks under live:');
    }
    return { process: null, before: null, steps: commands, headAddress: null, agentPort };
  }
  for (const later of commands.slice(at + 1)) report.left(later.line, `${later.text}: comes after "ray start --block", which does not end`);
  return {
    process: { run: blocking(command, found, report), line: command.line },
    before: joined(commands.slice(0, at)),
    steps: [],
    headAddress: addressOf(found.part.text),
    agentPort: Number(/--dashboard-agent-listen-port[= ](\d+)/.exec(found.part.text)?.[1] ?? agentPort),
  };
}

interface Found {
  readonly part: ShellPart;
  readonly parts: readonly ShellPart[];
}

function rayStart(text: string): Found | null {
  const parts = splitShellList(text);
  const part = parts?.findLast((item) => /^(?:(?:sudo|exec|nohup|env|\w+=\S*)\s+)*(?:\S*\/)?ray\s+start(?:\s|$)/.test(item.text));
  return parts === null || parts === undefined || part === undefined ? null : { part, parts };
}

function blocking(command: RayCommand, { part, parts }: Found, report: RayReport): string {
  const text = command.text;
  const rest = parts.slice(parts.indexOf(part) + 1).filter((item) => !/^(true|:|exit( \d+)?)$/.test(item.text));
  if (rest.length > 0)
    report.left(command.line, `${rest.map((item) => item.text).join('; ')}: comes after "ray start --block", which does not end`);
  const has = /\s--block\b/.test(part.text);
  if (!has) report.changed(command.line, '--block added to "ray start": it stays in the foreground, so that its end is seen');
  return expandQuotedHome(`${text.slice(0, part.end)}${has ? '' : ' --block'}`.trim());
}

/** One after the other, each in a shell of its own, the first failure ends it: as Ray runs them. */
function joined(commands: readonly RayCommand[]): string | null {
  const texts = commands.map(({ text }) => expandQuotedHome(text.trim()));
  if (texts.length === 0) return null;
  return texts.length === 1 ? (texts[0] ?? null) : texts.map((text) => `(${text}\n)`).join(' && ');
}

function addressOf(text: string): string | null {
  const address = /--address[= ]["']?([^"'\s]+)/.exec(text)?.[1];
  if (address === undefined) return null;
  const [, host = '', port = String(gcsPort)] = /^(.*?)(?::(\d+))?$/.exec(address) ?? [];
  if (/^\$\{?RAY_HEAD_IP\}?$/.test(host)) return `\${RAY_HEAD_IP}:${port}`;
  return /^[\w.-]+$/.test(host) ? `${host}:${port}` : null;
}
