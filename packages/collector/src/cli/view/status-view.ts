/** The fleet in one picture, worst first. Pure. */
import type { ApiAlert, ApiHost, ApiSink, ApiWorkload } from '@relight/shared/api';
import type { HostState, Phase } from '@relight/shared/phase';
import { formatDurationMs } from '@relight/shared/units';
import { refusalText, troubleRank, troubles, troubleText } from './condition-view.ts';
import { deliveryCells, deliveryHeaders, saysDelivery } from './delivery-view.ts';
import { paintHostState, paintPhase, paintSeverity, type Colors } from './paint.ts';
import { sanitize } from './sanitize.ts';
import { failingSinkLines } from './sink-view.ts';
import { table } from './table.ts';
import { engineText } from './engine-text.ts';
import { elapsed, type ViewContext } from './view-context.ts';

export interface Picture {
  readonly hosts: readonly ApiHost[];
  readonly workloads: readonly ApiWorkload[];
  /** Firing ones. */
  readonly alerts: readonly ApiAlert[];
  /** Where notifications go; undefined: nobody has said. */
  readonly sinks?: readonly ApiSink[] | undefined;
}

const hostOrder: readonly HostState[] = ['dead', 'suspect', 'disconnected', 'rebooting', 'unknown', 'expected', 'stopped', 'connected'];
const phaseOrder: readonly Phase[] = [
  'held',
  'back-off',
  'degraded',
  'unknown',
  'verifying',
  'starting',
  'setting-up',
  'mounting',
  'creating',
  'pulling',
  'waiting',
  'stopped',
  'paused',
  'ready',
];

const byName = new Intl.Collator('en', { numeric: true });

export function sortPicture(picture: Picture): Picture {
  return {
    hosts: picture.hosts.toSorted(
      (a, b) =>
        hostOrder.indexOf(a.state) - hostOrder.indexOf(b.state) || troubleRank(b) - troubleRank(a) || byName.compare(a.name, b.name),
    ),
    workloads: picture.workloads.toSorted(
      (a, b) => phaseOrder.indexOf(a.phase) - phaseOrder.indexOf(b.phase) || byName.compare(`${a.host}/${a.name}`, `${b.host}/${b.name}`),
    ),
    alerts: picture.alerts,
    sinks: picture.sinks,
  };
}

export function statusText(picture: Picture, context: ViewContext): string {
  const { hosts, workloads, alerts, sinks = [] } = sortPicture(picture);
  const { color } = context;
  // Before the alerts: nobody who is not looking at this has been told of them.
  const lines = [summary(picture, color), ...failingSinkLines(sinks, context)];
  for (const alert of alerts) {
    lines.push(`${paintSeverity(color, alert.severity)(alert.severity)}  ${alert.rule}  ${sanitize(alert.summary)}`);
  }
  if (hosts.length > 0) lines.push('', ...hostTable(hosts, context));
  if (workloads.length > 0) lines.push('', ...workloadTable(workloads, context));
  return `${lines.join('\n')}\n`;
}

/** `3 hosts: 1 dead, 2 connected · 2 workloads: 2 ready · 1 alert firing` */
function summary(picture: Picture, color: Colors): string {
  if (picture.hosts.length === 0) return 'no hosts yet: install relight-agent on one, or announce it with "relight expect HOST"';
  const parts = [
    `${counted(picture.hosts.length, 'host')}: ${tally(hostOrder, (state) => picture.hosts.filter((host) => host.state === state).length)}`,
  ];
  if (picture.workloads.length > 0) {
    const phases = (of: readonly ApiWorkload[]): string =>
      tally(phaseOrder, (phase) => of.filter((workload) => workload.phase === phase).length);
    const unwatched = picture.workloads.filter(isUnwatched);
    const watched = phases(picture.workloads.filter((workload) => !isUnwatched(workload)));
    const lost = unwatched.length === 0 ? '' : color.yellow(`${unwatched.length} not watched (last known: ${phases(unwatched)})`);
    parts.push(`${counted(picture.workloads.length, 'workload')}: ${[watched, lost].filter((part) => part !== '').join(', ')}`);
  }
  const troubled = picture.hosts.filter((host) => troubles(host).length > 0).length;
  if (troubled > 0) parts.push(color.yellow(`${counted(troubled, 'host')} with conditions`));
  if (picture.alerts.length > 0) parts.push(color.red(`${counted(picture.alerts.length, 'alert')} firing`));
  const deaf = picture.sinks?.filter(({ state }) => state === 'failing').length ?? 0;
  if (deaf > 0) parts.push(color.red(`${counted(deaf, 'alert sink')} failing`));
  return parts.join(' · ');
}

/** What is shown of it is what was last known. Collectors older than this field do not say it. */
export const isUnwatched = ({ watched }: ApiWorkload): boolean => watched === false;

const counted = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? '' : 's'}`;

function tally<T extends string>(order: readonly T[], count: (value: T) => number): string {
  return order
    .map((value) => [count(value), value] as const)
    .filter(([n]) => n > 0)
    .map(([n, value]) => `${n} ${value}`)
    .join(', ');
}

function hostTable(hosts: readonly ApiHost[], { color, columns, now }: ViewContext): string[] {
  const delivery = saysDelivery(hosts);
  return table({
    headers: ['HOST', 'STATE', 'SINCE', 'LOAD', 'MEM', ...(delivery ? deliveryHeaders : []), 'REASON'],
    paintHeader: color.dim,
    columns,
    rows: hosts.map((host) => [
      { text: sanitize(host.name) },
      { text: host.state, paint: paintHostState(color, host.state) },
      { text: elapsed(host.stateSince, now) },
      { text: host.metrics?.load1?.toFixed(2) ?? '-' },
      { text: memoryUse(host) },
      ...(delivery ? deliveryCells(host, color) : []),
      // Of what goes well a beginning does.
      { text: hostReason(host, now), whole: host.state !== 'connected' || host.engine?.state === 'down' || troubleText(host) !== null },
    ]),
  });
}

/** That a host is connected says its state already. */
function hostReason(host: ApiHost, now: number): string {
  // Before its conditions: while nobody can see the containers, nothing else that is said of the host is worth as much.
  if (host.state === 'connected' && host.engine?.state === 'down') return engineText(host.engine, now);
  const trouble = host.state === 'connected' ? troubleText(host) : refusalText(host);
  return trouble ?? sanitize(host.reason);
}

export function workloadTable(workloads: readonly ApiWorkload[], { color, columns, now }: ViewContext): string[] {
  return table({
    headers: ['WORKLOAD', 'PHASE', 'SINCE', 'STAGE', 'ATTEMPT', 'RESTARTS', 'REASON'],
    paintHeader: color.dim,
    columns,
    rows: workloads.map((workload) => [
      { text: sanitize(`${workload.host}/${workload.name}`) },
      isUnwatched(workload)
        ? { text: `not watched, was ${workload.phase}`, paint: color.yellow }
        : { text: workload.phase, paint: paintPhase(color, workload.phase) },
      { text: elapsed(workload.phaseSince, now) },
      { text: stageText(workload, now) },
      { text: attemptText(workload, now) },
      { text: restartsText(workload) },
      { text: sanitize(workloadReason(workload)), whole: workload.phase !== 'ready' || isUnwatched(workload) || isHeldBack(workload) },
    ]),
  });
}

/** That it is ready is no news where another configuration of it cannot be taken up. */
function workloadReason({ reason, waitingConfiguration: waiting }: ApiWorkload): string {
  if (waiting === undefined || waiting === null) return reason;
  return `${reason}; its new configuration waits for the image ${waiting.image}`;
}

const isHeldBack = ({ waitingConfiguration: waiting }: ApiWorkload): boolean => waiting !== undefined && waiting !== null;

export function stageText(workload: ApiWorkload, now: number): string {
  if (workload.stage === null) return '-';
  const stage = sanitize(workload.stage);
  return workload.stageSince === null ? stage : `${stage} (${elapsed(workload.stageSince, now)})`;
}

export function attemptText(workload: ApiWorkload, now: number): string {
  if (workload.nextAttemptAt === null) return workload.attempt === 0 ? '-' : String(workload.attempt);
  const inMs = Date.parse(workload.nextAttemptAt) - now;
  return `${workload.attempt}, next ${inMs <= 0 ? 'now' : `in ${formatDurationMs(inMs)}`}`;
}

function restartsText({ restarts }: ApiWorkload): string {
  const parts = (['process', 'container', 'host'] as const).filter((level) => restarts[level] > 0);
  return parts.length === 0 ? '-' : parts.map((level) => `${restarts[level]} ${level}`).join(', ');
}

function memoryUse({ metrics }: ApiHost): string {
  if (metrics?.memoryTotalBytes === undefined || metrics.memoryAvailableBytes === undefined || metrics.memoryTotalBytes === 0) return '-';
  return `${Math.round(100 * (1 - metrics.memoryAvailableBytes / metrics.memoryTotalBytes))} %`;
}
