/**
 * When a container is over, its last lines have been handed to journald, but they are in the journal only when journald gets to
 * them: seconds later on a machine that is short of CPU or waits for its disk. The engine reads what is there and says that this is
 * the end. journald itself knows: asked to synchronize, it answers when all that was sent to it before is in the journal.
 */
import { connect } from 'node:net';
import { type Clock, delay } from '@relight/shared/clock';
import { errorMessage } from '@relight/shared/errors';
import type { Logger } from 'pino';

const socketPath = '/run/systemd/journal/io.systemd.journal';
const answerMsMax = 60_000;
/** Where journald cannot be asked, as from within a container: as long as newer engines wait for it themselves. */
const unansweredMs = 5_000;

/** What `journalctl --sync` asks for. Resolves when journald says that it is done; rejects when it says anything else, or nothing. */
export function syncJournal(signal: AbortSignal, path = socketPath): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path, signal });
    let answer = '';
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => {
      answer += text;
      const end = answer.indexOf('\0');
      if (end < 0) return;
      // Of Varlink: {"error": "…"}, or {"parameters": {}}.
      const refused = answer.includes('"error"');
      if (refused) reject(new Error(`journald refuses to synchronize: ${answer.slice(0, Math.min(end, 200))}`));
      else resolve();
      socket.destroy();
    });
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('journald has closed the connection without an answer')));
    socket.write(`${JSON.stringify({ method: 'io.systemd.Journal.Synchronize' })}\0`);
  });
}

export interface JournalOptions {
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'warn'>;
  readonly syncJournal: typeof syncJournal;
}

/** Resolves when what the container wrote can be read, as far as anybody can tell. Rejects only when `signal` aborts. */
export async function settled(container: string, { clock, logger, syncJournal: sync }: JournalOptions, signal: AbortSignal): Promise<void> {
  const limit = new AbortController();
  const timer = clock.after(answerMsMax, () => limit.abort(new Error(`journald has not answered for ${answerMsMax / 1_000} s`)));
  try {
    return await sync(AbortSignal.any([signal, limit.signal]));
  } catch (error) {
    signal.throwIfAborted();
    // No journald here is no fault: the agent may be in a container of its own.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      const reason = errorMessage(limit.signal.aborted ? limit.signal.reason : error);
      logger.warn(
        { container, reason },
        'the last lines of a container may be missing: journald has not said that they are in the journal',
      );
    }
  } finally {
    timer.cancel();
  }
  await delay(clock, unansweredMs, signal);
}
