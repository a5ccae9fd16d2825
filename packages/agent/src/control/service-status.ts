/**
 * One line of what the agent is doing, for `systemctl status`, which every user of the host may read: it quotes nobody. Reasons and stages
 * hold what programs have printed and what stands in the configuration, which are root's alone. Pure.
 */
import type { HostGateStatus, WorkloadStatus } from '@relight/shared/status';

export interface ServiceFacts {
  readonly engine: { readonly state: 'up' | 'down' };
  readonly gate: Pick<HostGateStatus, 'state' | 'conditions'> | null;
  /** Why its file is refused, while what was read before goes on; null: it is not. The reason quotes what stands at these places. */
  readonly refused?: { readonly reason: string; readonly places?: readonly string[] | undefined } | null;
  readonly workloads: readonly Pick<WorkloadStatus, 'name' | 'phase' | 'reason'>[];
}

/** systemctl cuts it at the width of the terminal; systemd keeps it all. */
const lengthMax = 300;

export function serviceStatus({ engine, gate, refused = null, workloads }: ServiceFacts): string {
  const counts = new Map<string, number>();
  for (const { phase } of workloads) counts.set(phase, (counts.get(phase) ?? 0) + 1);
  const inAll = [...counts].map(([phase, count]) => `${count} ${phase}`).join(', ');
  const others = workloads.filter(({ phase }) => phase !== 'ready');
  const isWell = engine.state === 'up' && gate?.state !== 'waiting' && others.length === 0;
  const parts = [
    `supervising ${workloads.length} workload(s)${inAll === '' ? '' : `: ${inAll}`}`,
    ...(isWell ? [] : ['why: sudo relight-agent status']),
    ...(refused === null ? [] : [`its configuration is refused (relight-agent status): ${refusal(refused)}`]),
    ...(engine.state === 'down' ? ['the engine does not answer'] : []),
    ...(gate?.state === 'waiting' ? [`the host is waited for: ${awaited(gate)}`] : []),
    ...others.map(({ name, phase, reason }) => `${name}: ${phase}${endingOf(reason)}`),
  ];
  const line = parts.join('; ');
  return line.length <= lengthMax ? line : `${line.slice(0, lengthMax - 1)}…`;
}

/** The file's values are root's alone. */
const refusal = ({ reason, places: [first] = [] }: NonNullable<ServiceFacts['refused']>): string =>
  first === undefined ? reason.split('\n', 1).join('') : `${first}: is not valid`;

/** What is not satisfied, by the names that we give it: `host setup`, `package manager`, `tcp` without its address. */
function awaited({ conditions }: NonNullable<ServiceFacts['gate']>): string {
  const failing = conditions.filter(({ ok, waived }) => !ok && waived !== true).map(({ name }) => name.replace(/^tcp .*$/s, 'tcp'));
  return failing.length === 0 ? 'everything must be quiet' : [...new Set(failing)].join(', ');
}

const signals = 'SIG(?:ABRT|BUS|FPE|HUP|ILL|INT|KILL|PIPE|QUIT|SEGV|TERM|USR1|USR2)';
const ending = new RegExp(
  `\\b(?:exit code \\d{1,3}|exited with code \\d{1,3}(?: \\(${signals}\\))?|killed by ${signals}|process was killed)(?!\\w)`,
);

/** How something ended, of all that a reason tells. A program may have printed the same words: they say no more than that. */
function endingOf(reason: string): string {
  const how = ending.exec(reason)?.[0];
  return how === undefined ? '' : ` (${how})`;
}
