/**
 * Empties the durable queue of notifications: per sink in order, one at a time, so that no sink waits for another. At least once:
 * killed between the sink's answer and the record of it, the message is sent again. Stopped, it waits for that answer first.
 */
import type { Clock } from '@relight/shared/clock';
import { delay } from '@relight/shared/clock';
import { errorMessage } from '@relight/shared/errors';
import type { Bus } from '../../bus.ts';
import type { NotificationRecord, Store } from '../../store/store.ts';
import { shownSinkName } from './sink-name.ts';
import type { SendResult, Sink } from './sink.ts';

export interface DeliveryLogger {
  warn(data: object, message: string): void;
  error(data: object, message: string): void;
}

interface DeliveryDeps {
  readonly store: Store;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly logger: DeliveryLogger;
  /** [0, 1). */
  readonly random?: () => number;
  readonly sinks: readonly Sink[];
  /** What queues were called before: what waits in them goes to the sinks that are called otherwise now. */
  readonly formerNames?: readonly { readonly from: string; readonly to: string }[];
  /** What every attempt came to; not of one that our own end cut off. */
  readonly onResult?: (sink: string, result: SendResult) => void;
}

const sendTimeoutMs = 10_000;
/** A stop waits so long for the answer to what is on its way: cut off, it may have arrived, and would be sent again at the next start. */
const lastAnswerMs = 3_000;
const retryFirstMs = 1_000;
const retryMaxMs = 300_000;
/** A refused message (4xx) is tried this often, in case somebody is repairing the receiver, then given up. */
export const refusedAttemptsMax = 5;
const orphansMax = 10_000;
const firingMax = 1_000_000;

/** Full jitter: anything between at once and 1 s · 2^attempts, at most 5 min. `attempts`: failed ones so far, 0 after the first. */
export function retryDelayMs(attempts: number, random: number): number {
  return random * Math.min(retryMaxMs, retryFirstMs * 2 ** Math.min(attempts, 30));
}

export function startDelivery(deps: DeliveryDeps): { wake(): void; close(): Promise<void> } {
  const stop = new AbortController();
  const cut = new AbortController();
  const ending = { stop: stop.signal, cut: cut.signal };
  const wakers = new Set<() => void>();
  const named = takeOver(deps, stop.signal);
  const workers = deps.sinks.map((sink) => deliver(deps, sink, named, ending, wakers));
  const orphans = named.then(() => (stop.signal.aborted ? undefined : dropOrphans(deps)));
  return {
    wake: () => wakers.forEach((wake) => wake()),
    async close() {
      stop.abort();
      wakers.forEach((wake) => wake());
      const timer = deps.clock.after(lastAnswerMs, () => cut.abort());
      await Promise.all([orphans, ...workers]);
      timer.cancel();
    },
  };
}

/** `stop`: nothing is begun any more. `cut`: nor is an answer waited for. */
interface Ending {
  readonly stop: AbortSignal;
  readonly cut: AbortSignal;
}

async function deliver(deps: DeliveryDeps, sink: Sink, named: Promise<void>, ending: Ending, wakers: Set<() => void>): Promise<void> {
  const { store, clock, logger } = deps;
  const { stop, cut } = ending;
  let awake = Promise.withResolvers<void>();
  wakers.add(() => awake.resolve());
  await named;
  let repeatAt = clock.monotonic();
  while (!stop.aborted) {
    try {
      const head = store.pendingNotifications(1, sink.name)[0];
      if (head === undefined) {
        const idleMs = sink.repeat === undefined ? null : repeatAt - clock.monotonic();
        if (idleMs !== null && idleMs <= 0) {
          repeatAt = clock.monotonic() + (sink.repeat?.everyMs ?? 0);
          await repeat(deps, sink, ending);
          continue;
        }
        const timer = idleMs === null ? null : clock.after(idleMs, () => awake.resolve());
        await awake.promise;
        timer?.cancel();
        awake = Promise.withResolvers<void>();
        continue;
      }
      await delay(clock, Math.min(Math.max(0, head.nextAttemptAt - clock.now()), retryMaxMs), stop);
      await settle(deps, sink, head, await sendAndTell(deps, sink, head, cut), cut);
    } catch (error) {
      if (stop.aborted) return;
      logger.error({ err: error, sink: sink.name }, `notifications wait: ${errorMessage(error)}`);
      await delay(clock, retryFirstMs, stop).catch(() => undefined);
    }
  }
}

/**
 * What fires in the store: whatever has ended there is delivered or waits behind this, so nothing that is over is said to be so after it.
 * What is not taken is said the next time.
 */
async function repeat(deps: DeliveryDeps, sink: Sink, { stop, cut }: Ending): Promise<void> {
  const { store, logger } = deps;
  for (const body of sink.repeat?.bodies(store.alerts({ state: 'firing', limit: firingMax })) ?? []) {
    const result = await sendAndTell(deps, sink, { body }, cut);
    if (stop.aborted) return;
    if (result.outcome === 'delivered') continue;
    logger.warn({ sink: sink.name, reason: result.reason }, 'what fires could not be said again, trying again in a minute');
    // One that is refused says nothing of the others.
    if (result.outcome === 'retry') return;
  }
}

async function sendAndTell(deps: DeliveryDeps, sink: Sink, record: Message, cut: AbortSignal): Promise<SendResult> {
  const result = await sendOnce(deps.clock, sink, record, cut);
  if (!cut.aborted) deps.onResult?.(sink.name, result);
  return result;
}

type Message = Pick<NotificationRecord, 'body'>;

/** One attempt, within the time that each has. */
export async function sendOnce(clock: Clock, sink: Sink, record: Message, cut: AbortSignal): Promise<SendResult> {
  const late = new AbortController();
  const timer = clock.after(sendTimeoutMs, () => late.abort(new Error(`no answer within ${sendTimeoutMs / 1000} s`)));
  try {
    return await sink.send(record.body, AbortSignal.any([late.signal, cut]));
  } finally {
    timer.cancel();
  }
}

async function settle(deps: DeliveryDeps, sink: Sink, record: NotificationRecord, result: SendResult, cut: AbortSignal): Promise<void> {
  const { store, clock, logger, random = Math.random } = deps;
  if (result.outcome === 'delivered') return store.notificationDelivered(record.id);
  // Our own shutdown cut the call off: that is no failure of the sink.
  if (cut.aborted) return;
  if (result.outcome === 'refused' && record.attempts + 1 >= refusedAttemptsMax) return giveUp(deps, record, result.reason);
  const asked = result.outcome === 'retry' ? (result.afterMs ?? 0) : 0;
  // What fires is said again behind this: later than that it would be taken for over.
  const waitMax = Math.min(retryMaxMs, sink.repeat?.everyMs ?? retryMaxMs);
  const wait = Math.min(waitMax, Math.max(asked, retryDelayMs(record.attempts, random())));
  logger.warn({ sink: sink.name, attempt: record.attempts + 1, reason: result.reason }, 'notification not delivered, trying again');
  await store.notificationFailed(record.id, clock.now() + wait);
}

async function giveUp({ store, bus, clock, logger }: DeliveryDeps, record: NotificationRecord, reason: string): Promise<void> {
  const sink = shownSinkName(record.sink);
  const message = `Notification given up after ${record.attempts + 1} attempts: ${sink} answers ${reason}`;
  logger.error({ sink, reason }, message);
  // The message says whom it is for.
  const body = record.body.replaceAll(JSON.stringify(record.sink), JSON.stringify(sink)).slice(0, 4096);
  const data = { sink, reason, attempts: record.attempts + 1, body };
  const event = {
    at: clock.now(),
    host: '',
    workload: null,
    generation: null,
    kind: 'alert.undelivered',
    severity: 'error',
    message,
    data,
  } as const;
  bus.publish('events', [await store.commitOwnEvent(event)]);
  await store.notificationDelivered(record.id);
}

/**
 * Before anything is sent or dropped: what waits under a former name is older than all that comes now, and would be dropped as that of
 * a sink that is gone.
 */
async function takeOver({ store, sinks, formerNames = [], clock, logger }: DeliveryDeps, stop: AbortSignal): Promise<void> {
  const names = new Set(sinks.map((sink) => sink.name));
  const renamed = formerNames.filter(({ from }) => !names.has(from));
  while (!stop.aborted) {
    try {
      for (const { from, to } of renamed) if (store.pendingNotifications(1, from).length > 0) await store.renameSink(from, to);
      return;
    } catch (error) {
      logger.error({ err: error }, `notifications wait: ${errorMessage(error)}`);
      await delay(clock, retryFirstMs, stop).catch(() => undefined);
    }
  }
}

/** Messages for sinks that the configuration no longer names would wait for ever. */
async function dropOrphans(deps: DeliveryDeps): Promise<void> {
  const names = new Set(deps.sinks.map((sink) => sink.name));
  try {
    for (const record of deps.store.pendingNotifications(orphansMax)) {
      if (!names.has(record.sink)) await giveUp(deps, record, 'nothing: it is no longer configured');
    }
  } catch (error) {
    deps.logger.error({ err: error }, `notifications of removed sinks could not be dropped: ${errorMessage(error)}`);
  }
}
