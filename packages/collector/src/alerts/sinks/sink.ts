/** Where notifications go. */
import type { AlertRecord } from '../../store/store.ts';

/** `refused`: the other side will not take this message however often it is sent. */
export type SendResult =
  | { readonly outcome: 'delivered' }
  | { readonly outcome: 'retry'; readonly reason: string; readonly afterMs?: number }
  | { readonly outcome: 'refused'; readonly reason: string };

export interface Sink {
  /** Names its queue in the store: must stay the same over restarts. */
  readonly name: string;
  /** The message, made when the alert changes, so that a late delivery says what was true then. */
  format(alert: AlertRecord): string;
  /** Never rejects for what the network does. */
  send(body: string, signal: AbortSignal): Promise<SendResult>;
}
