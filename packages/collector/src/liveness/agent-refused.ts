/**
 * agent-refused: the agent of this host comes, and cannot be let in, because no version of the protocol is common, its hello cannot be
 * read, or its token is not valid any more, or was given to another agent or machine. Without it such a host looks like one that is down, and its operator looks at the wrong machine. Pure.
 */
import { agentRefusedName, type HostCondition } from '@relight/shared/status';

export interface RefusedHello {
  readonly code: 'protocol' | 'unauthorized' | 'forbidden';
  readonly reason: string;
  /** Null: it could not be understood. */
  readonly greeting: { readonly version: string | null } | null;
}

const meanwhile = 'Meanwhile its workloads are looked after on the host.';

/** `before`: the condition as it is. The same one comes back when nothing is new: the agent tries again every 30 s. */
export function agentRefused(before: HostCondition | undefined, refused: RefusedHello, now: number): HostCondition {
  const { reason: why, greeting } = refused;
  const version = greeting?.version ?? null;
  const reason = `${why}${version === null ? '' : ` (its version: ${version})`}`;
  if (before?.reason === reason) return before;
  return {
    name: agentRefusedName,
    subject: '',
    severity: 'warning',
    since: before?.since ?? now,
    reason,
    advice: `${adviceOn(refused)} ${meanwhile}`,
  };
}

function adviceOn({ code, greeting }: RefusedHello): string {
  if (code === 'unauthorized')
    return 'If it belongs here: relight-collector token create --kind join, and on the host relight-agent join with that. Else: relight forget HOST.';
  if (greeting === null) return 'Correct on the host what the reason says; relight-agent status there says it, too.';
  return 'Agents and collectors of neighbouring minor versions work together: upgrade the one that is behind.';
}
