/** How what happens on a host comes here: how far behind, how full its outbox is, what is missing, and how wrong its clock is. Pure. */
import { catchingUpText, lagMsUsual } from '@relight/shared/agent-metrics';
import type { ApiHost } from '@relight/shared/api';
import { skewMsMin } from '@relight/shared/clock-skew';
import { formatBytes, formatDurationMs } from '@relight/shared/units';
import type { Colors } from './paint.ts';
import { sanitize } from './sanitize.ts';
import type { Cell } from './table.ts';
import { elapsed } from './view-context.ts';

const skewMsWarning = 1_000;
const shareWarning = 0.5;

export const deliveryHeaders = ['LAG', 'OUTBOX', 'GAPS', 'SKEW'] as const;

/** Of a collector that is older than this, nothing. */
export const saysDelivery = (hosts: readonly ApiHost[]): boolean => hosts.some(({ delivery }) => delivery !== undefined);

export function deliveryCells({ delivery, clockSkewMs, state }: ApiHost, color: Colors): Cell[] {
  const share = delivery?.outbox?.share;
  const { count = 0, lines = 0 } = delivery?.gaps ?? {};
  const lagMs = delivery?.lagMs ?? null;
  const skewed = state === 'connected' && clockSkewMs !== null && Math.abs(clockSkewMs) >= skewMsMin ? clockSkewMs : null;
  const cell = (text: string, bad: boolean): Cell => ({ text, ...(bad ? { paint: color.yellow } : {}) });
  return [
    // What is being worked off is no fault.
    cell(lagText(delivery), lagMs !== null && lagMs > lagMsUsual && delivery?.catchingUp === undefined),
    cell(share === undefined ? '-' : percent(share), share !== undefined && share >= shareWarning),
    cell(count === 0 ? '-' : `${count}${lines === 0 ? '' : ` (${lines} lines)`}`, count > 0),
    cell(skewed === null ? '-' : skewText(skewed), skewed !== null && Math.abs(skewed) > skewMsWarning),
  ];
}

/** For one host; what there is nothing to say of is ''. */
export function deliveryPairs({ delivery, agent }: ApiHost, now: number): [string, string][] {
  if (delivery === undefined) return [];
  const { outbox, gaps } = delivery;
  const fill = outbox === null ? '' : `${formatBytes(outbox.bytes)} of ${formatBytes(outbox.bytesMax)} (${percent(outbox.share)})`;
  return [
    ['lag', lagPair(delivery)],
    ['outbox', fill],
    ['gaps', gapsText(gaps, now)],
    ['agent uses', agent === undefined || agent === null ? '' : agentText(agent)],
  ];
}

function lagText(delivery: ApiHost['delivery']): string {
  const lagMs = delivery?.lagMs ?? null;
  if (lagMs === null) return '-';
  return `${formatDurationMs(lagMs)}${delivery?.catchingUp === undefined ? '' : ', catching up'}`;
}

function lagPair(delivery: NonNullable<ApiHost['delivery']>): string {
  if (delivery.lagMs === null) return '';
  return `${formatDurationMs(delivery.lagMs)}${delivery.catchingUp === undefined ? '' : catchingUpText(delivery.catchingUp)}`;
}

function gapsText({ count, lines, bytes, lastAt, lastReason }: NonNullable<ApiHost['delivery']>['gaps'], now: number): string {
  if (count === 0) return '';
  const last = lastAt === null ? '' : `, the last ${elapsed(lastAt, now)} ago (${sanitize(lastReason ?? '')})`;
  return `${count}: ${lines} lines, ${formatBytes(bytes)}${last}`;
}

function agentText({ residentBytes, cpuMs, uptimeMs, loopLagMs }: NonNullable<ApiHost['agent']>): string {
  const used = cpuMs === undefined || uptimeMs === undefined || uptimeMs === 0 ? undefined : cpuMs / uptimeMs;
  return [
    ...(residentBytes === undefined ? [] : [formatBytes(residentBytes)]),
    ...(used === undefined ? [] : [`${(used * 100).toFixed(1)} % of a core since its start`]),
    ...(loopLagMs === undefined || loopLagMs < skewMsWarning ? [] : [`stood still for ${formatDurationMs(loopLagMs)}`]),
  ].join(', ');
}

const percent = (share: number): string => `${Math.round(share * 100)} %`;
const skewText = (ms: number): string => `${ms < 0 ? '-' : '+'}${formatDurationMs(Math.abs(ms))}`;
