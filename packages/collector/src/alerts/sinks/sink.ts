/** Where notifications go. */
import type { AlertRecord } from '../../store/store.ts';
import type { Notice } from '../gathering.ts';

/** `refused`: the other side will not take this message however often it is sent. */
export type SendResult =
  | { readonly outcome: 'delivered' }
  | { readonly outcome: 'retry'; readonly reason: string; readonly afterMs?: number }
  | { readonly outcome: 'refused'; readonly reason: string };

export interface Change {
  /** The severity that was told of this alert before; null: nothing yet. */
  readonly told: string | null;
  /** Epoch milliseconds. */
  readonly at: number;
}

export interface Sink {
  /** Names its queue in the store: must stay the same over restarts. */
  readonly name: string;
  /** The message, made when the alert changes, so that a late delivery says what was true then. */
  format(alert: AlertRecord, change: Change): string;
  /** The messages that together tell of all of it, each alert in one of them. Absent: the other side groups by itself, and is told of each alert. */
  formatGroup?(notice: Notice): readonly string[];
  /** What is said again while alerts fire, when nothing waits; so it is never older than what was delivered. */
  readonly repeat?: { readonly everyMs: number; bodies(firing: readonly AlertRecord[]): readonly string[] };
  /** Never rejects for what the network does. */
  send(body: string, signal: AbortSignal): Promise<SendResult>;
}
