/**
 * agent-refused: the agent of this host comes, and cannot be let in, because no version of the protocol is common or its hello cannot be
 * read. Without it such a host looks like one that is down, and its operator looks at the wrong machine. Pure.
 */
import { agentRefusedName, type HostCondition } from '@relight/shared/status';

export interface RefusedHello {
  readonly reason: string;
  /** Null: it could not be understood. */
  readonly greeting: { readonly version: string | null } | null;
}

const meanwhile = 'Meanwhile its workloads are looked after on the host.';

/** `before`: the condition as it is. The same one comes back when nothing is new: the agent tries again every 30 s. */
export function agentRefused(before: HostCondition | undefined, { reason: why, greeting }: RefusedHello, now: number): HostCondition {
  const version = greeting?.version ?? null;
  const reason = `${why}${version === null ? '' : ` (its version: ${version})`}`;
  if (before?.reason === reason) return before;
  const advice =
    greeting === null
      ? 'Correct on the host what the reason says; relight-agent status there says it, too.'
      : 'Agents and collectors of neighbouring minor versions work together: upgrade the one that is behind.';
  return {
    name: agentRefusedName,
    subject: '',
    severity: 'warning',
    since: before?.since ?? now,
    reason,
    advice: `${advice} ${meanwhile}`,
  };
}
