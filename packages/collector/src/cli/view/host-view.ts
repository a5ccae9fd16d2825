/** Everything known of one host. Pure. */
import { acceleratorText } from '@relight/shared/accelerator-text';
import type { ApiEvent, ApiHost, ApiWorkload } from '@relight/shared/api';
import { skewDirection, skewMsMin } from '@relight/shared/clock-skew';
import { gateText } from '@relight/shared/gate-text';
import { formatBytes, formatDurationMs } from '@relight/shared/units';
import { waitingText } from '@relight/shared/waiting-text';
import { conditionLines } from './condition-view.ts';
import { deliveryPairs } from './delivery-view.ts';
import { eventLine } from './event-view.ts';
import { paintHostState, paintPhase } from './paint.ts';
import { sanitize } from './sanitize.ts';
import { attemptText, isUnwatched, stageText } from './status-view.ts';
import { engineText } from './engine-text.ts';
import { elapsed, type ViewContext } from './view-context.ts';

/** `events`: the newest last. */
export function hostText(host: ApiHost, events: readonly ApiEvent[], context: ViewContext): string {
  const { color, now } = context;
  const lines = [
    color.bold(sanitize(host.name)),
    ...pairs([
      ['state', `${paintHostState(color, host.state)(host.state)} for ${elapsed(host.stateSince, now)}`],
      ['reason', sanitize(host.reason)],
      ['labels', labelsText(host.labels)],
      ['last seen', host.lastSeenAt === null ? 'never' : `${elapsed(host.lastSeenAt, now)} ago`],
      ['agent', host.agentVersion === null ? 'unknown' : `${host.agentVersion}, id ${host.id ?? 'unknown'}`],
      ['boot', host.bootId ?? 'unknown'],
      ['clock', clockText(host.clockSkewMs)],
      ...deliveryPairs(host, now),
      ...gatePairs(host, now),
      ...factPairs(host, now),
      ...metricPairs(host),
      ...(host.accelerators ?? []).map(acceleratorText).map(([name, text]): [string, string] => [name, sanitize(text)]),
    ]),
  ];
  const conditions = conditionLines(host, context);
  if (conditions.length > 0) lines.push('', color.bold('conditions'), ...conditions);
  for (const workload of host.workloads) lines.push('', ...workloadLines(workload, context));
  if (events.length > 0) lines.push('', color.dim('last events'), ...events.map((event) => eventLine(event, context)));
  return `${lines.join('\n')}\n`;
}

function workloadLines(workload: ApiWorkload, { color, now }: ViewContext): string[] {
  const { restarts, metrics } = workload;
  const limit = metrics?.memoryLimitBytes === undefined ? '' : ` of ${formatBytes(metrics.memoryLimitBytes)}`;
  const usage = [
    ...(metrics?.cpuCores === undefined ? [] : [`${metrics.cpuCores.toFixed(2)} cores`]),
    ...(metrics?.memoryBytes === undefined ? [] : [`${formatBytes(metrics.memoryBytes)}${limit}`]),
    ...(metrics?.pids === undefined ? [] : [`${metrics.pids} processes`]),
  ];
  return [
    color.bold(sanitize(workload.name)),
    ...pairs([
      ...(isUnwatched(workload) ? [['watched', color.yellow('no: this is what was last known')] as const] : []),
      [
        'phase',
        `${isUnwatched(workload) ? workload.phase : paintPhase(color, workload.phase)(workload.phase)} for ${elapsed(workload.phaseSince, now)}`,
      ],
      ['reason', sanitize(workload.reason)],
      ['stage', stageText(workload, now)],
      ['attempt', attemptText(workload, now)],
      ['ready', workload.readyAt === null ? 'no' : `since ${workload.readyAt}`],
      ['generation', String(workload.generation)],
      ['container', workload.containerId?.slice(0, 12) ?? 'none'],
      ['image', sanitize(workload.image)],
      ...waitingPairs(workload, now),
      ['last incident', workload.lastIncidentId ?? ''],
      ['restarts', `${restarts.process} process, ${restarts.container} container, ${restarts.host} host`],
      ['uses', usage.length === 0 ? '-' : usage.join(', ')],
    ]),
  ];
}

function waitingPairs({ waitingConfiguration: waiting }: ApiWorkload, now: number): [string, string][] {
  if (waiting === undefined || waiting === null) return [];
  const { image, since, advice, nextAttemptAt } = waiting;
  const text = waitingText({ ...waiting, nextAttemptAt: nextAttemptAt === null ? null : Date.parse(nextAttemptAt) }, now);
  return [
    ['waits', sanitize(`its new configuration, for the image ${image} for ${elapsed(since, now)}; what runs goes on: ${text}`)],
    ['', sanitize(advice)],
  ];
}

function gatePairs({ gate }: ApiHost, now: number): [string, string][] {
  if (gate === undefined || gate === null) return [];
  const deadlineAt = gate.deadlineAt === null ? null : Date.parse(gate.deadlineAt);
  return gateText({ ...gate, since: Date.parse(gate.since), deadlineAt }, now).map(([name, text]) => [sanitize(name), sanitize(text)]);
}

function factPairs({ facts = {}, engine }: ApiHost, now: number): [string, string][] {
  const { cloud, virtualization, physicalCores, cpuCores, engineVersion, gpus = [] } = facts;
  return [
    ['machine', said([facts.manufacturer, facts.model, virtualization && `(virtual: ${virtualization})`], ' ')],
    ['cloud', cloud === 'none' ? '' : said([cloud])],
    ['processor', said([facts.cpuModel, physicalCores && `${physicalCores} cores`, cpuCores && `${cpuCores} threads`])],
    ['gpus', said([...[...new Set(gpus)].map((gpu) => countedGpu(gpu, gpus)), facts.gpuTools])],
    ['system', said([facts.os, facts.kernel, facts.arch])],
    [
      'engine',
      said([
        engineVersion,
        facts.engineApiVersion && `API ${facts.engineApiVersion}`,
        engine?.state === 'down' ? engineText(engine, now) : '',
      ]),
    ],
  ];
}

const said = (parts: readonly (string | 0 | undefined)[], between = ', '): string => sanitize(parts.filter(Boolean).join(between));

function countedGpu(gpu: string, gpus: readonly string[]): string {
  const n = gpus.filter((other) => other === gpu).length;
  return n === 1 ? gpu : `${n} × ${gpu}`;
}

function metricPairs({ metrics }: ApiHost): [string, string][] {
  if (metrics === null) return [];
  const found: [string, string][] = [];
  if (metrics.load1 !== undefined) found.push(['load', metrics.load1.toFixed(2)]);
  if (metrics.cpuUsed !== undefined) found.push(['cpu', `${Math.round(metrics.cpuUsed * 100)} %`]);
  if (metrics.memoryTotalBytes !== undefined && metrics.memoryAvailableBytes !== undefined) {
    found.push(['memory', `${formatBytes(metrics.memoryAvailableBytes)} free of ${formatBytes(metrics.memoryTotalBytes)}`]);
  }
  for (const disk of metrics.disks) {
    found.push([`disk ${sanitize(disk.path)}`, `${formatBytes(disk.freeBytes)} free of ${formatBytes(disk.totalBytes)}`]);
  }
  return found;
}

function pairs(rows: readonly (readonly [string, string])[]): string[] {
  const shown = rows.filter(([, value]) => value !== '' && value !== '-');
  const width = Math.max(...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`);
}

const labelsText = (labels: Readonly<Record<string, string>>): string =>
  Object.entries(labels)
    .map(([key, value]) => sanitize(`${key}=${value}`))
    .join(' ');

function clockText(skewMs: number | null): string {
  if (skewMs === null || Math.abs(skewMs) < skewMsMin) return '';
  return `${formatDurationMs(Math.abs(skewMs))} ${skewDirection(skewMs)}`;
}
