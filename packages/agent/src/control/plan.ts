/** What the agent would do with a configuration. Pure; no value of a variable and no secret is part of it. */
import { quoteShellWords } from '@relight/shared/shell-quote';
import { formatDurationMs } from '@relight/shared/units';
import { compareWorkload, type Change, type Impact } from '../config/impact.ts';
import type { AgentSpec, CheckSpec, Command, GateSpec, MountSpec, SetupItem, SetupStep, WorkloadSpec } from '../config/spec.ts';
import { heldBackText } from '../config/image-wait.ts';
import { templateNames } from '../config/interpolate.ts';
import { mountCommand } from '../stages/mount-program.ts';
import { plannedRestart, rungs, type PlannedRestart } from './plan-restart.ts';
import { spareName } from '../supervisor/spare-state.ts';

export interface Plan {
  readonly config: string;
  readonly host: string;
  readonly engine: string;
  readonly stateDir: string;
  readonly collector: string | null;
  readonly variables: readonly {
    readonly name: string;
    readonly from: 'literal' | 'command';
    readonly argv?: readonly string[];
    readonly timeoutMs?: number;
  }[];
  readonly gate: { readonly conditions: readonly string[]; readonly quietForMs: number; readonly timeoutMs: number };
  /** Once per boot, before any workload. */
  readonly hostSetup: readonly PlannedStage[];
  readonly workloads: readonly PlannedWorkload[];
}

export interface PlannedWorkload {
  readonly name: string;
  readonly container: string;
  readonly image: string;
  readonly startDeadlineMs: number;
  readonly stages: readonly PlannedStage[];
  readonly live: readonly PlannedWatch[];
  readonly restart: { readonly process: PlannedRestart; readonly container: PlannedRestart };
  /** What a second container does meanwhile; null where none is kept. */
  readonly spare: string | null;
  /** Rung by rung, for a person. */
  readonly escalation: readonly string[];
  readonly change: PlannedChange;
  /** What the change costs beyond what it restarts, for a person. */
  readonly warnings: readonly string[];
}

export interface PlannedStage {
  readonly phase: 'waiting' | 'pulling' | 'creating' | 'mounting' | 'setting-up' | 'starting' | 'verifying';
  readonly what: string;
  /** As it is executed; text that a shell gets is one argument. */
  readonly argv?: readonly string[];
  /** Of this stage alone. Null: only the start deadline. */
  readonly deadlineMs: number | null;
  readonly notes: readonly string[];
}

export interface PlannedWatch {
  readonly what: string;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly failures: number;
  readonly restarts: string;
}

export interface PlannedChange {
  /** `unknown`: nothing is stored, so it will be created, or adopted where it runs already. */
  readonly against: 'stored' | 'unknown';
  readonly restarts: Impact;
  readonly changes: readonly Change[];
}

/**
 * @param stored what the running agent last worked with, by workload; null when there is nothing
 * @param absent images that are certainly not on this host
 */
export function planOf(
  spec: AgentSpec,
  stateDir: string,
  stored: (workload: string) => WorkloadSpec | null,
  absent: ReadonlySet<string> = new Set(),
): Plan {
  return {
    config: spec.file,
    host: spec.host.name,
    engine: spec.engine.socket,
    stateDir,
    collector: spec.collector?.url ?? null,
    variables: spec.vars.map((variable) =>
      'run' in variable
        ? { name: variable.name, from: 'command', argv: hostArgv(variable.run), timeoutMs: variable.timeoutMs }
        : { name: variable.name, from: 'literal' },
    ),
    gate: plannedGate(spec.host.gate),
    hostSetup: spec.host.setup.map((step) =>
      stage('setting-up', step.name, step.timeoutMs, { argv: hostArgv(step.run), notes: stepNotes(step, hostArgv) }),
    ),
    workloads: spec.workloads
      .map((given) => resolved(given, stored(given.name)))
      .map((workload) => ({ workload, change: plannedChange(stored(workload.name), workload) }))
      .map(({ workload, change }) => ({
        name: workload.name,
        container: workload.container.name,
        image: workload.container.image,
        startDeadlineMs: workload.startDeadlineMs,
        stages: stages(spec, workload),
        live: watches(workload),
        restart: { process: plannedRestart(workload.restart.process), container: plannedRestart(workload.restart.container) },
        spare: workload.spare === null ? null : plannedSpare(workload),
        escalation: rungs(workload),
        change,
        warnings: absent.has(workload.container.image) && change.restarts === 'container' ? [heldBackText(workload.container)] : [],
      })),
  };
}

/** What an adopted container is was written down when it was taken over; the configuration has its name alone. */
function resolved(given: WorkloadSpec, stored: WorkloadSpec | null): WorkloadSpec {
  const { adopt, pullPolicy } = given.container;
  if (adopt === undefined || stored?.container.adopt !== adopt) return given;
  return { ...given, container: { ...stored.container, pullPolicy } };
}

/** Of the workloads that a change gives a new container: the images that they are made from. */
export const imagesOfNewContainers = (spec: AgentSpec, stored: (workload: string) => WorkloadSpec | null): ReadonlySet<string> =>
  new Set(
    spec.workloads
      .map((given) => resolved(given, stored(given.name)))
      .filter((workload) => plannedChange(stored(workload.name), workload).restarts === 'container')
      .map(({ container }) => container.image),
  );

function stages(spec: AgentSpec, workload: WorkloadSpec): readonly PlannedStage[] {
  const { container, process } = workload;
  const named = new Set(workload.setup.flatMap((item) => (item.kind === 'mount' ? [item.mount] : [])));
  const first = workload.mounts.filter((mount) => !named.has(mount.name));
  return [
    ...(spec.vars.length > 0 ? [stage('waiting', `resolve ${spec.vars.map(({ name }) => name).join(', ')}`, null)] : []),
    ...workload.dependsOn.map((dependency) =>
      stage('waiting', `until ${dependency.kind === 'tcp' ? dependency.address : dependency.url} answers`, null, {
        notes: [`${formatDurationMs(dependency.timeoutMs)} a try; waiting costs no budget`],
      }),
    ),
    ...pull(workload),
    creation(container),
    ...first.map((mount) => mountStage(mount, workload.shell)),
    ...workload.setup.map((item) => setupStage(item, workload)),
    ...(process === null || process.before === null
      ? []
      : [stage('starting', 'before the process', null, { argv: argvOf(process.before, workload.shell) })]),
    ...(process === null
      ? []
      : [
          stage('starting', 'the process', null, {
            argv: argvOf(process.run, workload.shell),
            notes: process.maxRuntimeMs === null ? [] : [`at most for ${formatDurationMs(process.maxRuntimeMs)}`],
          }),
        ]),
    ...workload.ready.map((check) => readyStage(check, workload)),
  ];
}

const plannedSpare = ({ container }: WorkloadSpec): string =>
  `${spareName(container.name)} is created, mounted and set up once it is ready, and waits without its process; when the container dies or must make way, it takes over`;

function creation({ name, image, adopt, onDeath: answer }: WorkloadSpec['container']): PlannedStage {
  if (adopt === undefined)
    return stage('creating', `container ${name} from ${image}`, null, { notes: [`when it dies: ${onDeath[answer]}`] });
  return stage('creating', `take over container ${adopt} as it runs`, null, {
    notes: [
      'nothing is restarted; its restart policy becomes no; what it is made of is remembered',
      'when it dies: the same again, and what follows here begins with that one',
    ],
  });
}

const onDeath = {
  recreate: 'a new container',
  start: 'the same one again; each step with a verify command is verified, the others are run again',
};

function stage(
  phase: PlannedStage['phase'],
  what: string,
  deadlineMs: number | null,
  more: { readonly argv?: readonly string[]; readonly notes?: readonly string[] } = {},
): PlannedStage {
  return { phase, what, deadlineMs, notes: more.notes ?? [], ...(more.argv === undefined ? {} : { argv: more.argv }) };
}

function pull({ container }: WorkloadSpec): readonly PlannedStage[] {
  if (container.pullPolicy === 'never' || container.image === '') return [];
  return [stage('pulling', container.image, null, { notes: [container.pullPolicy === 'always' ? 'always' : 'only where it is missing'] })];
}

function mountStage(mount: MountSpec, shell: WorkloadSpec['shell']): PlannedStage {
  const what = `${mount.name} at ${mount.target}`;
  // Each variable stands for itself: its value is nobody's business here.
  const names = mount.type === 'gcsfuse' ? [mount.bucket, mount.onlyDir ?? ''].flatMap((template) => templateNames(template).names) : [];
  const command = mountCommand(mount, Object.fromEntries(names.map((variable) => [variable, `\${${variable}}`])));
  return stage('mounting', what, mount.timeoutMs, { argv: argvOf(command, shell) });
}

function setupStage(item: SetupItem, { mounts, shell }: WorkloadSpec): PlannedStage {
  if (item.kind === 'mount') {
    const mount = mounts.find(({ name }) => name === item.mount);
    // The configuration was validated: every name here is one of the mounts.
    if (mount !== undefined) return mountStage(mount, shell);
    return stage('mounting', item.mount, null);
  }
  const argv = (command: Command): readonly string[] => argvOf(command, shell);
  return stage('setting-up', item.name, item.timeoutMs, { argv: argv(item.run), notes: stepNotes(item, argv) });
}

function stepNotes({ optional, retry, verify }: SetupStep, argv: (command: Command) => readonly string[]): readonly string[] {
  return [
    optional ? 'optional: a failure is reported and skipped' : '',
    retry.attempts > 1 ? `up to ${retry.attempts} attempts, ${formatDurationMs(retry.delayMs)} apart` : '',
    verify === null ? '' : `verified by: ${quoteShellWords(argv(verify))}`,
  ].filter((note) => note !== '');
}

function plannedGate({ quietForMs, timeoutMs, packageManagerIdle, pendingReboot, tcp, lockFiles }: GateSpec): Plan['gate'] {
  const conditions = [
    ...(packageManagerIdle ? ['package manager idle'] : []),
    ...lockFiles.map((file) => `${file} not locked`),
    ...(pendingReboot === 'wait' ? ['no reboot pending'] : []),
    'no shutdown due',
    ...tcp.map((address) => `tcp ${address}`),
    'engine answers',
  ];
  return { conditions, quietForMs, timeoutMs };
}

function readyStage(check: CheckSpec, { readyWindowMs, shell }: WorkloadSpec): PlannedStage {
  const notes = [`every ${formatDurationMs(check.intervalMs)}, at most ${formatDurationMs(check.timeoutMs)} each`];
  return stage('verifying', check.name, readyWindowMs, {
    notes,
    ...(check.probe.kind === 'exec' ? { argv: argvOf(check.probe.run, shell) } : {}),
  });
}

function watches(workload: WorkloadSpec): readonly PlannedWatch[] {
  return [
    ...workload.mounts.map(({ name, check }) => ({ what: `mount ${name}`, ...check, restarts: 'the mount and what depends on it' })),
    ...workload.live.map(({ name, intervalMs, timeoutMs, failures, restarts }) => ({
      what: name,
      intervalMs,
      timeoutMs,
      failures,
      restarts,
    })),
  ];
}

const argvOf = (command: Command, shell: WorkloadSpec['shell']): readonly string[] =>
  'argv' in command ? command.argv : [...(shell ?? ['bash', '-c']), command.text];
const hostArgv = (command: Command): readonly string[] => argvOf(command, null);

function plannedChange(before: WorkloadSpec | null, after: WorkloadSpec): PlannedChange {
  if (before === null) return { against: 'unknown', restarts: 'none', changes: [] };
  const changes = compareWorkload(before, after);
  const restarts = (['container', 'process'] as const).find((impact) => changes.some((change) => change.impact === impact)) ?? 'none';
  return { against: 'stored', restarts, changes };
}
