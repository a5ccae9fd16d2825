/** Ray's command lists → host commands, setup steps and mounts, in their order. */
import { workloadName } from '../draft.ts';
import type { RayCommand } from './cluster.ts';
import { liftGcsfuse, type KnownValues, type LiftedMount } from './gcsfuse.ts';
import type { RayReport } from './report.ts';
import { expandQuotedHome } from './shell-expansions.ts';
import { splitShellList, type ShellPart } from './shell-list.ts';

export interface HostDraft {
  readonly run: string;
  readonly optional: boolean;
  readonly line: number;
  readonly remarks: readonly string[];
}
export interface StepDraft extends HostDraft {
  readonly kind: 'step';
  readonly name: string;
}
export interface MountDraft extends LiftedMount {
  readonly kind: 'mount';
  readonly name: string;
  readonly line: number;
}
export type SetupDraft = StepDraft | MountDraft;

const hostRemarks: readonly (readonly [RegExp, string])[] = [
  [/\$\{?(USER|LOGNAME)\b/, 'uses $USER: the agent runs as root, and a service may have no $USER'],
  [/(^|[\s"'=:])~|\$\{?HOME\b/, "uses the home directory: on this host it was the SSH user's, now it is root's"],
  [
    /\bsystemctl\s+(\S+\s+)*(restart|stop)\s+(\S+\s+)*docker|service\s+docker\s+(restart|stop)/,
    'restarts the engine, now at every boot: every container falls with it unless live-restore is on',
  ],
  [/\b(reboot|shutdown|poweroff)\b/, 'reboots the machine, now after every boot: the host never comes up'],
  [/\b(apt|apt-get|yum|dnf)\b.*\b(install|upgrade|update)\b/, 'installs packages at every boot'],
];
const stepRemarks: readonly (readonly [RegExp, string])[] = [
  [
    />>\s*["']?\S*\.(bashrc|profile|bash_profile)\b/,
    'appends to a file at every run: not idempotent in a container that is started again (on_death: start)',
  ],
  [/\|&?\s*tee\b/, '"| tee" hides the exit code; Relight keeps the output of every command itself'],
];
const commonRemarks: readonly (readonly [RegExp, string])[] = [
  [/(^|[;&|\n]\s*)sleep\s+\d/, 'a blind wait; a check or verify: that passes when the thing is there is faster and safer'],
];

function remarksOn(command: RayCommand, rules: readonly (readonly [RegExp, string])[], report: RayReport): readonly string[] {
  const remarks = [...rules, ...commonRemarks].filter(([pattern]) => pattern.test(command.text)).map(([, text]) => text);
  for (const remark of remarks) report.look(command.line, `${title(command.text)}: ${remark}`);
  return remarks;
}

const title = (text: string): string => {
  const line = text.replaceAll(/\s+/g, ' ').trim();
  return JSON.stringify(line.length <= 50 ? line : `${line.slice(0, 49)}…`);
};

export function hostCommands(commands: readonly RayCommand[], report: RayReport): readonly HostDraft[] {
  return commands.map((command) => {
    const { text, optional } = withoutTrue(command, report);
    return { run: text, optional, line: command.line, remarks: remarksOn(command, hostRemarks, report) };
  });
}

/** `|| true` at the end of a command says that its failure does not matter: that is `optional`, and the failure is seen. */
function withoutTrue(command: RayCommand, report: RayReport): { readonly text: string; readonly optional: boolean } {
  const parts = splitShellList(command.text) ?? [];
  const last = parts.at(-1);
  const before = parts.at(-2);
  if (last === undefined || before?.operator !== '||' || !/^(true|:|\/bin\/true)$/.test(last.text))
    return { text: command.text, optional: false };
  const text = command.text.slice(0, before.end).trim();
  report.changed(command.line, `${title(text)}: "|| true" became optional: true, so that a failure is seen`);
  return { text, optional: true };
}

export interface SetupResult {
  /** Commands that begin with `docker`: Ray runs them on the host. */
  readonly host: readonly HostDraft[];
  readonly items: readonly SetupDraft[];
}

/** @param container the container's name; @param valueOf values of its environment */
export function setupCommands(commands: readonly RayCommand[], container: string, valueOf: KnownValues, report: RayReport): SetupResult {
  const host: HostDraft[] = [];
  const items: SetupDraft[] = [];
  const exported = new Map<string, string>();
  const known: KnownValues = (name) => exported.get(name) ?? valueOf(name);
  for (const command of commands) {
    if (command.text.trimStart().startsWith('docker')) {
      const moved = dockerCommand(command, container, report);
      if (moved !== null) host.push(moved);
      continue;
    }
    // What an earlier command exports literally, also by way of .bashrc, holds for the later ones.
    for (const [, name = '', , value = ''] of command.text.matchAll(/\bexport\s+(\w+)=(["']?)([\w./:@-]+)\2(?=["'\s;]|$)/g))
      exported.set(name, value);
    items.push(...setupItems(command, known, items, report));
  }
  return { host, items };
}

function dockerCommand(command: RayCommand, container: string, report: RayReport): HostDraft | null {
  const named = new RegExp(`(^|[\\s:])${container.replaceAll(/[.*+?^$()[\]{}|\\]/g, String.raw`\$&`)}([\\s:]|$)`).test(command.text);
  if (named) {
    report.left(
      command.line,
      `${title(command.text)}: it acts on the container from the host, which is Relight's business; write what it does as a step`,
    );
    return null;
  }
  const { text, optional } = withoutTrue(command, report);
  report.changed(
    command.line,
    `${title(text)}: begins with docker, so it runs on the host; here it comes before the container, and at every boot`,
  );
  return { run: text, optional, line: command.line, remarks: remarksOn(command, hostRemarks, report) };
}

function setupItems(command: RayCommand, valueOf: KnownValues, earlier: readonly SetupDraft[], report: RayReport): readonly SetupDraft[] {
  const parts = splitShellList(command.text);
  const at = parts?.findIndex((part) => /(^|[\s/])gcsfuse(\s|$)/.test(part.text)) ?? -1;
  if (parts === null || at < 0) {
    if (/\bgcsfuse\s+-/.test(command.text))
      report.look(command.line, `${title(command.text)}: gcsfuse inside a compound command is not watched; write it under mounts:`);
    return stepOf(command, earlier, report);
  }
  const call = parts[at];
  const lifted = call === undefined || isPiped(parts, at) ? null : liftGcsfuse(call.text, valueOf);
  if (call === undefined || lifted === null) {
    if (call !== undefined && !/--(version|help)/.test(call.text))
      report.look(
        command.line,
        `${title(call.text)}: this gcsfuse is not watched, its mount point is not known here; write it under mounts:`,
      );
    return stepOf(command, earlier, report);
  }
  return [
    ...beforeMount(command, parts, at, lifted, earlier, report),
    ...mountOf(lifted, command, earlier, report),
    ...afterMount(command, parts, at, earlier, report),
  ];
}

const isPiped = (parts: readonly ShellPart[], at: number): boolean =>
  /^\|&?$/.test(parts[at]?.operator ?? '') || /^\|&?$/.test(parts[at - 1]?.operator ?? '');

/** `mkdir -p TARGET &&` and `mountpoint -q TARGET ||` are what a mount does by itself. */
function beforeMount(
  command: RayCommand,
  parts: readonly ShellPart[],
  at: number,
  lifted: LiftedMount,
  earlier: readonly SetupDraft[],
  report: RayReport,
): readonly SetupDraft[] {
  let end = at;
  while (end > 0 && /^(mountpoint|grep|test|\[)\b/.test(parts[end - 1]?.text ?? '') && parts[end - 1]?.operator === '||') end -= 1;
  while (end > 0 && new RegExp(`^(sudo\\s+)?mkdir\\s+(-\\S+\\s+)*["']?${lifted.target}/?["']?$`).test(parts[end - 1]?.text ?? '')) end -= 1;
  const last = parts[end - 1];
  if (last === undefined) return [];
  return stepOf({ text: command.text.slice(0, last.end), line: command.line }, earlier, report);
}

function afterMount(
  command: RayCommand,
  parts: readonly ShellPart[],
  at: number,
  earlier: readonly SetupDraft[],
  report: RayReport,
): readonly SetupDraft[] {
  let from = at;
  // Every alternative to the mount goes: it is required now.
  while (parts[from]?.operator === '||') from += 1;
  if (from > at)
    report.changed(
      command.line,
      `${title(parts[at]?.text ?? '')}: "|| ${parts[at + 1]?.text ?? ''}" dropped: the mount is required, and a failure is seen`,
    );
  const next = parts[from + 1];
  return next === undefined ? [] : stepOf({ text: command.text.slice(next.start), line: command.line }, earlier, report);
}

function mountOf(lifted: LiftedMount, { line }: RayCommand, earlier: readonly SetupDraft[], report: RayReport): readonly SetupDraft[] {
  const base = workloadName(lifted.target.split('/').at(-1) ?? 'mount');
  const taken = new Set(earlier.flatMap((item) => (item.kind === 'mount' ? [item.name] : [])));
  let name = base;
  for (let n = 2; taken.has(name); n += 1) name = `${base}-${n}`;
  report.changed(line, `gcsfuse at ${lifted.target}: became the mount ${name}, watched and mounted again when it dies`);
  return [{ kind: 'mount', name, line, ...lifted }];
}

function stepOf(command: RayCommand, earlier: readonly SetupDraft[], report: RayReport): readonly SetupDraft[] {
  const { text, optional } = withoutTrue(command, report);
  const run = expandQuotedHome(text);
  return [
    { kind: 'step', name: stepName(run, earlier), run, optional, line: command.line, remarks: remarksOn(command, stepRemarks, report) },
  ];
}

/** Its first plain words, for people; unique, because the agent remembers steps by name. */
function stepName(text: string, earlier: readonly SetupDraft[]): string {
  const words: string[] = [];
  for (const word of text.trim().split(/\s+/)) {
    if (!/^[\w./-]{1,24}$/.test(word) || words.length === 3) break;
    words.push(word);
  }
  const base = words.length === 0 ? 'command' : words.join(' ');
  const taken = new Set(earlier.map(({ name }) => name));
  let name = base;
  for (let n = 2; taken.has(name); n += 1) name = `${base} (${n})`;
  return name;
}
