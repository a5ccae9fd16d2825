/** The agent's status for people. Pure: status and time in, lines out. */
import { acceleratorText } from '@relight/shared/accelerator-text';
import { gateText } from '@relight/shared/gate-text';
import { sharedMachineIdAdvice } from '@relight/shared/machine';
import { waitingText } from '@relight/shared/waiting-text';
import type { WorkloadStatus } from '@relight/shared/status';
import { formatBytes, formatDurationMs } from '@relight/shared/units';
import { deliveryRows } from './delivery-view.ts';
import { facts, lineOf, tableOf } from './status-layout.ts';
import type { AgentStatus } from './status.ts';

const headers = ['WORKLOAD', 'PHASE', 'FOR', 'ATTEMPT', 'NEXT', 'GEN', 'CONTAINER', 'RESTARTS', 'STAGE', 'REASON'];

/** Without a restart, and without a reason, there is nothing to say of it. */
const nothing: ReadonlySet<string> = new Set(['-', '0 process, 0 container']);

/** `columns`: of the terminal; null: there is none. */
export function statusLines(status: AgentStatus, now: number, columns: number | null = null): readonly string[] {
  const { workloads } = status;
  const rows = workloads.map((workload) => workloadRow(workload, now));
  return [
    ...facts(
      [
        ['host', `${status.host}, agent ${status.version} for ${since(status.startedAt, now)}, id ${status.agentId}`],
        ['engine', engineText(status)],
        ...(status.gate === null ? [] : gateText(status.gate, now).map(([name, text]) => [name, text])),
        ...configRows(status.configuration, now),
        ['collector', collectorText(status.collector, now)],
        ...collectorAdviceRows(status.collector),
        ...machineIdRows(status.collector),
        ...deliveryRows(status, now),
        ['load', metricsText(status.metrics)],
        ...status.accelerators.map(acceleratorText).map(([name, text]) => [name, text]),
      ],
      columns,
    ),
    ...conditionLines(status, now).flatMap((line) => lineOf(line, columns, '    ')),
    '',
    ...(workloads.length === 0 ? ['No workloads are configured.'] : tableOf(headers, rows, nothing, columns)),
    ...workloads.flatMap((workload) => spareLine(workload, now)).flatMap((line) => lineOf(line, columns, '  ')),
    ...workloads.flatMap((workload) => waitingLines(workload, now)).flatMap((line) => lineOf(line, columns, '  ')),
  ];
}

function conditionLines({ conditions }: AgentStatus, now: number): string[] {
  if (conditions.length === 0) return [];
  const lines = conditions.flatMap(({ name, subject, severity, since: at, reason, advice }) => {
    const line = `  ${severity}  ${subject === '' ? name : `${name} ${subject}`} for ${since(at, now)}: ${reason}`;
    return advice === '' ? [line] : [line, `    ${advice}`];
  });
  return ['', 'conditions', ...lines];
}

function configRows(config: AgentStatus['configuration'], now: number): string[][] {
  if (config === null) return [];
  const { file, loadedAt, refused, pending } = config;
  const read = `${file}, read ${since(loadedAt, now)} ago`;
  if (refused !== null)
    return [
      ['config', `${read}; REFUSED ${since(refused.at, now)} ago, what was read before goes on: ${refused.reason.replaceAll('\n', '; ')}`],
    ];
  return [['config', pending === null ? read : `${read}; ${pending}`]];
}

function engineText({ engine }: AgentStatus): string {
  const version = engine.version === null ? '' : `, version ${engine.version}`;
  return `${engine.state}${version}${engine.reason === '' ? '' : `: ${engine.reason}`}`;
}

function collectorText(collector: AgentStatus['collector'], now: number): string {
  if (collector === null) return 'none configured, this agent works alone';
  const state = `${collector.connected ? 'connected' : 'not connected'} for ${since(collector.since, now)}`;
  const lag =
    collector.lagEvents + collector.lagBytes === 0
      ? ''
      : `; waiting: ${collector.lagEvents} events, ${formatBytes(collector.lagBytes)} of logs`;
  const error = collector.connected || collector.lastError === null ? '' : `; ${collector.lastError}`;
  return `${collector.url} ${state}${lag}${error}`;
}

function collectorAdviceRows(collector: AgentStatus['collector']): string[][] {
  if (collector === null || collector.connected || collector.lastError === null) return [];
  const { lastAdvice: advice } = collector;
  return advice === null ? [] : [['', advice]];
}

function machineIdRows(collector: AgentStatus['collector']): string[][] {
  const twin = collector?.machineIdSharedWith ?? null;
  if (twin === null) return [];
  return [
    ['machine id', `${twin.host} at ${twin.address} has the same, and is refused by the collector`],
    ['', sharedMachineIdAdvice],
  ];
}

function metricsText(metrics: AgentStatus['metrics']): string {
  if (metrics === null) return 'not measured yet';
  const parts = metrics.disks.map((disk) => `${disk.path} ${formatBytes(disk.freeBytes)} free of ${formatBytes(disk.totalBytes)}`);
  if (metrics.memoryAvailableBytes !== undefined && metrics.memoryTotalBytes !== undefined) {
    parts.unshift(`memory ${formatBytes(metrics.memoryAvailableBytes)} free of ${formatBytes(metrics.memoryTotalBytes)}`);
  }
  if (metrics.cpuUsed !== undefined) parts.unshift(`cpu ${Math.round(metrics.cpuUsed * 100)} %`);
  if (metrics.load1 !== undefined) parts.unshift(metrics.load1.toFixed(2));
  if (metrics.agentResidentBytes !== undefined) parts.push(`agent ${formatBytes(metrics.agentResidentBytes)}`);
  return parts.join(', ');
}

function workloadRow(workload: WorkloadStatus, now: number): string[] {
  const { restarts } = workload;
  const stageFor = workload.stageSince === null ? '' : ` (${since(workload.stageSince, now)})`;
  return [
    workload.name,
    workload.phase,
    since(workload.phaseSince, now),
    String(workload.attempt),
    workload.nextAttemptAt === null ? '-' : `in ${formatDurationMs(Math.max(0, workload.nextAttemptAt - now))}`,
    String(workload.generation),
    workload.containerId?.slice(0, 12) ?? '-',
    `${restarts.process} process, ${restarts.container} container`,
    workload.stage === null ? '-' : `${workload.stage}${stageFor}`,
    workload.reason === '' ? '-' : workload.reason,
  ];
}

function spareLine({ name, spare }: WorkloadStatus, now: number): string[] {
  if (spare === undefined || spare === null) return [];
  return [`${name}: spare ${spare.state} for ${since(spare.since, now)}: ${spare.reason}`];
}

function waitingLines({ name, waitingConfiguration: waiting }: WorkloadStatus, now: number): string[] {
  if (waiting === undefined || waiting === null) return [];
  const { image, since: at, advice } = waiting;
  const line = `${name}: its new configuration waits for the image ${image} for ${since(at, now)}, what runs goes on: ${waitingText(waiting, now)}`;
  return advice === '' ? [line] : [line, `  ${advice}`];
}

/** Clocks may differ by a little between stamping and reading. */
const since = (at: number, now: number): string => formatDurationMs(Math.max(0, now - at));
