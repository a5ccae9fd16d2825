/** One line of what the agent is doing, for `systemctl status`, which every user of the host may read. Pure. */
import type { HostGateStatus, WorkloadStatus } from '@relight/shared/status';

export interface ServiceFacts {
  readonly engine: { readonly state: 'up' | 'down'; readonly reason: string };
  readonly gate: HostGateStatus | null;
  /** Why its file is refused, while what was read before goes on; null: it is not. The reason quotes what stands at these places. */
  readonly refused?: { readonly reason: string; readonly places?: readonly string[] | undefined } | null;
  readonly workloads: readonly Pick<WorkloadStatus, 'name' | 'phase' | 'stage' | 'reason'>[];
}

/** systemctl cuts it at the width of the terminal; systemd keeps it all. */
const lengthMax = 300;

export function serviceStatus({ engine, gate, refused = null, workloads }: ServiceFacts): string {
  const counts = new Map<string, number>();
  for (const { phase } of workloads) counts.set(phase, (counts.get(phase) ?? 0) + 1);
  const inAll = [...counts].map(([phase, count]) => `${count} ${phase}`).join(', ');
  const others = workloads.filter(({ phase }) => phase !== 'ready');
  const parts = [
    `supervising ${workloads.length} workload(s)${inAll === '' ? '' : `: ${inAll}`}`,
    ...(refused === null ? [] : [`its configuration is refused (relight-agent status): ${refusal(refused)}`]),
    ...(engine.state === 'down' ? [`the engine does not answer: ${engine.reason}`] : []),
    ...(gate?.state === 'waiting' ? [`the host is waited for: ${gate.reason}`] : []),
    ...others.map(({ name, stage, reason }) => `${name}: ${stage ?? reason}`),
  ];
  const line = parts.join('; ');
  return line.length <= lengthMax ? line : `${line.slice(0, lengthMax - 1)}…`;
}

/** The file's values are root's alone. */
const refusal = ({ reason, places: [first] = [] }: NonNullable<ServiceFacts['refused']>): string =>
  first === undefined ? reason.split('\n', 1).join('') : `${first}: is not valid`;
