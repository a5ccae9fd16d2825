/**
 * The agent's way to the collector: one connection after the other, and between them the waits of backoff.ts. What happens
 * within a connection is connection.ts.
 */
import type { Timer } from '@relight/shared/clock';
import { agentTokenAdvice, catalogue, errorMessage, type ErrorCode } from '@relight/shared/errors';
import { sharedMachineIdAdvice } from '@relight/shared/machine';
import { closeCodes, type Action } from '@relight/shared/protocol';
import type { Logger } from 'pino';
import { ActionLog, type ActionResult } from './action-log.ts';
import { firstJitterMs, nextAttempt, type Ending } from './backoff.ts';
import { ClockWord, type ToldSkew } from './clock-word.ts';
import { Connection, type ConnectionEnd, type ConnectionOptions } from './connection.ts';
import { openWebSocket, type Closing, type OpenSocket } from './socket.ts';

export interface UplinkOptions extends Pick<
  ConnectionOptions,
  'spec' | 'clock' | 'random' | 'outbox' | 'incidents' | 'logs' | 'hello' | 'status' | 'onFleetSize' | 'protocols'
> {
  readonly logger: Pick<Logger, 'info' | 'warn' | 'error'>;
  readonly onAction: (action: Action) => Promise<ActionResult>;
  readonly openSocket?: OpenSocket;
}

export interface UplinkState {
  readonly connected: boolean;
  /** Epoch milliseconds of the last change of `connected`. */
  readonly since: number;
  readonly lastError: string | null;
  /** What a person can do about `lastError`. */
  readonly lastAdvice: string | null;
  /** That have happened and are not committed by the collector. */
  readonly lagEvents: number;
  readonly lagBytes: number;
  /** Null: it has not said, or is older than that, or the clock of this host was set since. */
  readonly clock: ToldSkew | null;
  /** Another host that came with the machine id of this one within the last minutes, and was refused. */
  readonly machineIdSharedWith: { readonly host: string; readonly address: string } | null;
}

/** Whoever is refused comes back after half a minute, until it is mended or gone. */
const twinMs = 3 * 60_000;

export class Uplink {
  readonly #options: UplinkOptions;
  readonly #actions: ActionLog;
  readonly #clockWord: ClockWord;
  #connection: Connection | null = null;
  #failures = 0;
  #counts = { connects: 0, failures: 0 };
  #since: number;
  #lastError: string | null = null;
  #lastAdvice: string | null = null;
  /** What was said about this outage already. */
  #said = new Set<string>();
  #twin: { readonly host: string; readonly address: string; readonly mono: number } | null = null;
  #dial: Timer | null = null;
  #stopped: (() => void) | null = null;
  #subscriptions: { dispose(): void }[] = [];

  constructor(options: UplinkOptions) {
    this.#options = options;
    this.#actions = new ActionLog(options.onAction);
    this.#clockWord = new ClockWord(options.clock);
    this.#since = options.clock.now();
  }

  start(): void {
    const { clock, incidents, logs, outbox, random } = this.#options;
    this.#subscriptions = [
      logs.onReady(() => this.#connection?.pumpSoon()),
      incidents.onReady(() => this.#connection?.pumpSoon()),
      outbox.onAppend(() => this.#connection?.pump()),
    ];
    this.#dial = clock.after(random() * firstJitterMs, () => this.#connect());
  }

  statusChanged(): void {
    this.#connection?.statusChanged();
  }

  /** The token is another one now. */
  comeBack(reason: string): void {
    this.#connection?.comeBack(reason);
  }

  state(): UplinkState {
    const { logs, outbox } = this.#options;
    return {
      connected: this.#connection?.live ?? false,
      since: this.#since,
      lastError: this.#connection?.trouble ?? this.#lastError,
      lastAdvice: this.#lastAdvice,
      // What waits for a slow disk cannot be read yet, and is missing at the collector all the same.
      lagEvents: outbox.pending,
      lagBytes: logs.lagBytes(),
      clock: this.#clockWord.said(),
      machineIdSharedWith: this.#twinNow(),
    };
  }

  /** Since the beginning: connections that were welcomed, and tries that were not. */
  get counts(): { readonly connects: number; readonly failures: number } {
    return this.#counts;
  }

  /** Sends what is there for up to 2 s, says goodbye, closes. Dials no more. */
  stop(reason: 'stopped' | 'rebooting'): Promise<void> {
    return new Promise((stopped) => {
      this.#dial?.cancel();
      this.#stopped = stopped;
      if (this.#connection === null) this.#end();
      else this.#connection.finish(reason);
    });
  }

  #connect(): void {
    const { openSocket = openWebSocket, ...options } = this.#options;
    try {
      this.#connection = new Connection({
        ...options,
        openSocket,
        onWelcome: (sessionId) => this.#welcomed(sessionId),
        onAction: (action) => void this.#act(action),
        onClockSkew: (skewMs) => this.#clockWord.hear(skewMs),
        onMachineIdShared: (who) => this.#meet(who),
        onEnd: (end) => this.#ended(end),
      });
    } catch (error) {
      this.#counts.failures += 1;
      this.#fail(errorMessage(error), { kind: 'failed' });
    }
  }

  #welcomed(sessionId: string): void {
    const { clock, logger, spec } = this.#options;
    this.#since = clock.now();
    this.#counts.connects += 1;
    this.#lastError = null;
    this.#lastAdvice = null;
    this.#said.clear();
    logger.info({ collector: spec.url, session: sessionId }, 'connected to the collector');
  }

  /** The answer goes to whoever is connected when it is there. */
  async #act(action: Action): Promise<void> {
    const result = await this.#actions.run(action);
    this.#connection?.answer({ type: 'action-result', id: action.id, ...result });
  }

  /** It comes back every half a minute: one line for each. */
  #meet({ host, address }: { readonly host: string; readonly address: string }): void {
    const { clock, logger } = this.#options;
    const known = this.#twinNow();
    this.#twin = { host, address, mono: clock.monotonic() };
    if (known?.host === host && known.address === address) return;
    const reason = `${host} at ${address} has the same machine id (/etc/machine-id) as this host, and was refused by the collector`;
    logger.warn({ code: 'conflict', host, address, advice: sharedMachineIdAdvice }, reason);
  }

  #twinNow(): UplinkState['machineIdSharedWith'] {
    if (this.#twin === null || this.#options.clock.monotonic() - this.#twin.mono >= twinMs) return null;
    const { host, address } = this.#twin;
    return { host, address };
  }

  #ended({ ending, reason, closing, welcomed }: ConnectionEnd): void {
    this.#connection = null;
    if (welcomed) this.#since = this.#options.clock.now();
    else this.#counts.failures += 1;
    if (this.#stopped === null) this.#fail(reason, ending, closing);
    else this.#end();
  }

  #fail(reason: string, ending: Ending, closing?: Closing): void {
    const { clock, logger, random, spec } = this.#options;
    const { failures, delayMs } = nextAttempt(this.#failures, ending, random());
    this.#failures = failures;
    this.#lastError = reason;
    const code = codeOf(closing);
    const advice = closing?.advice ?? adviceOf(code, ending);
    this.#lastAdvice = advice;
    // One line per outage and kind of trouble: a collector that is away for a day is not news every 30 seconds.
    const kind = `${code} ${ending.kind}`;
    if (!this.#said.has(kind)) {
      this.#said.add(kind);
      logger.warn({ code, collector: spec.url, reason, advice }, `no connection to the collector: ${reason}`);
    }
    this.#dial = clock.after(delayMs, () => this.#connect());
  }

  #end(): void {
    for (const subscription of this.#subscriptions) subscription.dispose();
    this.#stopped?.();
  }
}

function adviceOf(code: ErrorCode, { kind }: Ending): string {
  if (code === 'conflict') return sharedMachineIdAdvice;
  // The catalogue speaks to operators, too.
  if (code === 'unauthorized') return agentTokenAdvice;
  // It was reached, and has said when it takes this host again.
  if (kind === 'told' && code === 'collector-unreachable')
    return 'Nothing is to be done: the agent comes back by itself, when the collector has asked for it.';
  return catalogue[code].advice;
}

function codeOf(closing: Closing | undefined): ErrorCode {
  if (closing?.status === 401 || closing?.status === 403 || closing?.code === closeCodes.unauthorized) return 'unauthorized';
  if (closing?.code === closeCodes.versionsApart) return 'protocol';
  if (closing?.code === closeCodes.cloned) return 'conflict';
  return closing?.error ?? 'collector-unreachable';
}
