/** The plan for people. Pure: plan in, lines out. */
import { quoteShellWords } from '@relight/shared/shell-quote';
import { formatDurationMs } from '@relight/shared/units';
import type { PlannedRestart } from './plan-restart.ts';
import type { Plan, PlannedChange, PlannedStage, PlannedWorkload } from './plan.ts';

export function planLines(plan: Plan): readonly string[] {
  return [
    `Plan for host ${plan.host} from ${plan.config}. Nothing is touched.`,
    `  engine     ${plan.engine}`,
    `  state      ${plan.stateDir}`,
    `  collector  ${plan.collector ?? 'none: the agent works alone'}`,
    ...plan.variables.map(({ name, argv, timeoutMs }) =>
      argv === undefined
        ? `  variable   ${name}: a literal`
        : `  variable   ${name}: within ${formatDurationMs(timeoutMs ?? 0)}: ${quoteShellWords(argv)}`,
    ),
    `  gate       ${plan.gate.conditions.join(', ')}; quiet for ${formatDurationMs(plan.gate.quietForMs)}, waits at most ${formatDurationMs(plan.gate.timeoutMs)}`,
    ...(plan.hostSetup.length === 0 ? [] : ['', 'Host commands, once per boot, before any workload']),
    ...plan.hostSetup.flatMap((stage, index) => stageLines(stage, index + 1)),
    ...plan.workloads.flatMap(workloadLines),
    ...(plan.workloads.length === 0 ? ['', 'No workloads are configured.'] : []),
  ];
}

function workloadLines(workload: PlannedWorkload): readonly string[] {
  return [
    '',
    `Workload ${workload.name} (container ${workload.container}): ready within ${formatDurationMs(workload.startDeadlineMs)}, or the attempt has failed`,
    ...workload.stages.flatMap((stage, index) => stageLines(stage, index + 1)),
    ...(workload.live.length === 0 ? [] : ['  While ready:']),
    ...workload.live.map(
      (watch) =>
        `      ${watch.what}: every ${formatDurationMs(watch.intervalMs)}, at most ${formatDurationMs(watch.timeoutMs)} each; after ${watch.failures} failures in a row: ${watch.restarts}`,
    ),
    ...(workload.spare === null ? [] : [`  Spare: ${workload.spare}`]),
    ...restartLines('process', workload.restart.process),
    ...restartLines('container', workload.restart.container),
    '  Escalation:',
    ...workload.escalation.map((rung, index) => `      ${index + 1}. ${rung}`),
    ...changeLines(workload.change),
    ...workload.warnings.map((warning) => `      ! ${warning}`),
  ];
}

function stageLines(stage: PlannedStage, number: number): readonly string[] {
  const deadline = stage.deadlineMs === null ? '' : ` (within ${formatDurationMs(stage.deadlineMs)})`;
  const notes = stage.notes.map((note) => `      ${note}`);
  const argv = stage.argv === undefined ? [] : [`      $ ${quoteShellWords(stage.argv).replaceAll('\n', '\n        ')}`];
  return [`  ${String(number).padStart(2)}  ${stage.phase}: ${stage.what}${deadline}`, ...argv, ...notes];
}

function restartLines(level: string, restart: PlannedRestart): readonly string[] {
  const attempts = restart.schedule.map(({ attempt, waitMs, afterMs, slow }) => {
    const when = waitMs === 0 ? 'at once' : `after ${formatDurationMs(waitMs)} (at +${formatDurationMs(afterMs)})`;
    return `${attempt} ${when}${slow ? ', slowly from here on' : ''}`;
  });
  return [
    `  When the ${level} fails: attempt ${attempts.join(', ')} (each ± ${Math.round(restart.jitter * 100)} %)`,
    `      at most ${restart.budget.count} in ${formatDurationMs(restart.budget.windowMs)}, then every ${formatDurationMs(restart.slowRetryMs)}, never given up; forgotten after ${formatDurationMs(restart.resetAfterMs)} of health`,
  ];
}

const effects = {
  none: 'restarts nothing',
  process: 'restarts the process',
  container: 'makes a new container',
} as const;

function changeLines(change: PlannedChange): readonly string[] {
  if (change.against === 'unknown')
    return ['  Compared with what runs: nothing is stored; it will be created, or adopted where it runs already'];
  if (change.changes.length === 0) return ['  Compared with what runs: no change'];
  return [
    `  Compared with what runs: ${effects[change.restarts]}`,
    ...change.changes.map(({ field, impact }) => `      ${field}: ${effects[impact]}`),
  ];
}
