/** In which version of the protocol a connection goes on, judged by its first message before all else is read. Pure. */
import type { Stranger } from '../liveness/agent-refused.ts';
import { closeCodes } from '@relight/shared/protocol';
import {
  commonProtocol,
  greetingIn,
  ownProtocols,
  protocolsApart,
  type Greeting,
  type ProtocolRange,
} from '@relight/shared/protocol-version';

/** A hello that was turned away. */
export interface HelloRefusal {
  readonly code: 'protocol' | 'unauthorized' | 'forbidden';
  readonly reason: string;
  /** The owner has refused it, and written it down. */
  readonly written: boolean;
  /** What could be understood of it. */
  readonly greeting: Pick<Greeting, 'host' | 'version'> | null;
  /** It is not the one that its token was given to. */
  readonly stranger?: Stranger;
}

export type ProtocolChoice =
  | { readonly protocol: number }
  /** There is none that both speak: to be closed with this code. */
  | { readonly closeCode: number; readonly refusal: HelloRefusal };

/**
 * `text`: the first message. Another protocol may have another hello, of which only what `greetingIn` reads stays. Null: it is no hello of
 * any version, whatever else it may be.
 */
export function chooseProtocol(text: string, own: ProtocolRange = ownProtocols): ProtocolChoice | null {
  const greeting = greetingIn(text);
  if (greeting?.type !== 'hello') return null;
  const protocol = commonProtocol(greeting.protocols, own);
  if (protocol !== null) return { protocol };
  const reason = protocolsApart(greeting.protocols, own);
  return { closeCode: closeCodes.versionsApart, refusal: { code: 'protocol', reason, written: false, greeting } };
}

/** Of what somebody sent, for the audit log: nothing in it that a terminal could take for a command. */
export const oneLine = (text: string): string => text.replaceAll(/[^\x20-\x7e]+/g, ' ').slice(0, 200);
