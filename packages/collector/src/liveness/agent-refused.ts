/**
 * agent-refused: the agent of this host comes, and cannot be let in, because no version of the protocol is common, its hello cannot be
 * read, or its token is not valid any more. Without it such a host looks like one that is down, and its operator looks at the wrong machine.
 * Who comes with its token and is not whom that was given to may be somebody else, while the host is down: that is said in other words. Pure.
 */
import { agentRefusedName, type HostCondition } from '@relight/shared/status';

export interface RefusedHello {
  readonly code: 'protocol' | 'unauthorized' | 'forbidden';
  readonly reason: string;
  /** Null: it could not be understood. */
  readonly greeting: { readonly version: string | null } | null;
  /** Somebody has this host's token who is not the one that it was given to. Absent: it is its own agent, as far as anybody can tell. */
  readonly stranger?: Stranger;
}

export interface Stranger {
  /** How it calls itself. */
  readonly host: string;
  readonly address: string;
  readonly tokenId: string;
}

const meanwhile = 'Meanwhile its workloads are looked after on the host.';

/** `before`: the condition as it is. The same one comes back when nothing is new: the agent tries again every 30 s. */
export function agentRefused(before: HostCondition | undefined, refused: RefusedHello, now: number): HostCondition {
  const { reason: why, greeting, stranger } = refused;
  const version = greeting?.version ?? null;
  const whose =
    stranger === undefined ? '' : `nothing is heard of this host, and ${stranger.address} comes with its token as ${stranger.host}: `;
  const reason = `${whose}${why}${version === null ? '' : ` (its version: ${version})`}`;
  if (before?.reason === reason) return before;
  return {
    name: agentRefusedName,
    subject: '',
    severity: 'warning',
    since: before?.since ?? now,
    reason,
    advice: stranger === undefined ? `${adviceOn(refused)} ${meanwhile}` : onStranger(stranger),
  };
}

/** A thief, a copy of the disk, or the host itself on another machine: only the last one is cured by joining alone. To forget the host would leave the token valid. */
const onStranger = ({ address, tokenId }: Stranger): string =>
  [
    `Is ${address} this host, set up anew or under another name: relight-collector token create --kind join, and there relight-agent join with that.`,
    `Else the token was stolen, or is on a copied disk: relight-collector token revoke ${tokenId}, then let this host join anew in the same way, and see whether it runs.`,
  ].join(' ');

function adviceOn({ code, greeting }: RefusedHello): string {
  if (code === 'unauthorized')
    return 'If it belongs here: relight-collector token create --kind join, and on the host relight-agent join with that. Else: relight forget HOST.';
  if (greeting === null) return 'Correct on the host what the reason says; relight-agent status there says it, too.';
  return 'Agents and collectors of neighbouring minor versions work together: upgrade the one that is behind.';
}
