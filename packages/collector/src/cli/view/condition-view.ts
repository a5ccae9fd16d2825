/** Conditions of a host, worst first as the agent sends them. Pure. */
import type { ApiHost, ApiHostCondition } from '@relight/shared/api';
import { severities } from '@relight/shared/event';
import { agentRefusedName } from '@relight/shared/status';
import { paintSeverity } from './paint.ts';
import { sanitize } from './sanitize.ts';
import { elapsed, type ViewContext } from './view-context.ts';

/** Worth a look in the picture of a whole fleet. */
export const troubles = (host: ApiHost): readonly ApiHostCondition[] =>
  (host.conditions ?? []).filter(({ severity }) => severity !== 'info');

/** 0 without troubles; the larger the worse. */
export function troubleRank(host: ApiHost): number {
  // Nobody can see its containers: worse than what is known of any.
  if (host.engine?.state === 'down') return severities.length;
  return Math.max(0, ...troubles(host).map(({ severity }) => severities.indexOf(severity)));
}

/** `disk-low /: 3 % free (and 2 more)`; null without troubles. */
export function troubleText(host: ApiHost): string | null {
  const [worst, ...others] = troubles(host);
  if (worst === undefined) return null;
  return `${named(worst)}: ${sanitize(worst.reason)}${others.length === 0 ? '' : ` (and ${others.length} more)`}`;
}

/** Of a host that is away: why its agent is, when the collector has turned it away. Null: it has not. */
export function refusalText({ conditions = [] }: ApiHost): string | null {
  const refusal = conditions.find(({ name }) => name === agentRefusedName);
  return refusal === undefined ? null : `${named(refusal)}: ${sanitize(refusal.reason)}`;
}

export function conditionLines(host: ApiHost, { color, now }: ViewContext): string[] {
  return (host.conditions ?? []).flatMap((condition) => {
    const { severity, since, reason, advice } = condition;
    const line = `  ${paintSeverity(color, severity)(severity)}  ${named(condition)} for ${elapsed(since, now)}: ${sanitize(reason)}`;
    return advice === '' ? [line] : [line, color.dim(`    ${sanitize(advice)}`)];
  });
}

const named = ({ name, subject }: ApiHostCondition): string => sanitize(subject === '' ? name : `${name} ${subject}`);
