import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ManualClock } from '@relight/shared/manual-clock';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { settled, syncJournal } from './journal-sync.ts';

const never = new AbortController().signal;

describe('journald is asked', () => {
  let directory: string;
  let server: Server | undefined;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'relight-journal-sync-'));
  });
  afterEach(async () => {
    await new Promise((resolve) => (server?.listening === true ? server.close(resolve) : resolve(null)));
    rmSync(directory, { recursive: true });
  });

  /** A journald that does this with what it is asked. */
  async function journald(answer: (asked: string, socket: Socket) => void): Promise<string> {
    const path = join(directory, 'socket');
    server = createServer((socket) => {
      let asked = '';
      socket.on('data', (chunk) => {
        asked += String(chunk);
        if (asked.endsWith('\0')) answer(asked, socket);
      });
      socket.on('error', () => undefined);
    });
    await new Promise<void>((resolve) => server?.listen(path, resolve));
    return path;
  }

  it('to synchronize, and its answer waited for', async () => {
    const asked: string[] = [];
    const path = await journald((text, socket) => {
      asked.push(text);
      socket.write('{"parameters"');
      setImmediate(() => socket.write(':{}}\0'));
    });
    await syncJournal(never, path);
    expect(asked).toEqual(['{"method":"io.systemd.Journal.Synchronize"}\0']);
  });

  it.each([
    ['refuses', '{"error":"org.varlink.service.MethodNotFound"}\0', /refuses.*MethodNotFound/],
    ['says nothing', '', /closed the connection without an answer/],
    ['is cut off', '{"parameters":', /closed the connection without an answer/],
  ])('and %s', async (_, text, message) => {
    const path = await journald((_asked, socket) => socket.end(text));
    await expect(syncJournal(never, path)).rejects.toThrow(message);
  });

  it('where there is none', async () => {
    await expect(syncJournal(never, join(directory, 'none'))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('until nobody wants to know any more', async () => {
    const stop = new AbortController();
    const path = await journald(() => stop.abort());
    await expect(syncJournal(stop.signal, path)).rejects.toMatchObject({ name: 'AbortError' });
  });
});

describe('what a container wrote can be read', () => {
  function world(sync: typeof syncJournal) {
    const clock = new ManualClock();
    const warnings: unknown[] = [];
    const stop = new AbortController();
    let over = false;
    const done = settled(
      'gpu-worker',
      { clock, syncJournal: sync, logger: { warn: (...words: unknown[]) => void warnings.push(words[0]) } },
      stop.signal,
    ).finally(() => (over = true));
    /** Everything that is due by now has happened. */
    const settle = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));
    return { clock, warnings, stop, done, settle, over: () => over };
  }

  it('as soon as journald says so', async () => {
    const { clock, warnings, done } = world(() => Promise.resolve());
    await done;
    expect([warnings, clock.pendingTimers]).toEqual([[], 0]);
  });

  it('after five seconds where there is no journald to ask, without a word', async () => {
    const { clock, warnings, done, settle, over } = world(() => Promise.reject(Object.assign(new Error('none'), { code: 'ENOENT' })));
    await settle();
    clock.advance(4_999);
    await settle();
    expect(over()).toBe(false);
    clock.advance(1);
    await done;
    expect(warnings).toEqual([]);
  });

  it('after a minute and five seconds when it does not answer, which is told', async () => {
    const silent: typeof syncJournal = (signal) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(new DOMException('aborted', 'AbortError'))));
    const { clock, warnings, done, settle, over } = world(silent);
    clock.advance(59_999);
    await settle();
    expect([warnings, over()]).toEqual([[], false]);
    clock.advance(1);
    await settle();
    expect(warnings).toEqual([{ container: 'gpu-worker', reason: 'journald has not answered for 60 s' }]);
    clock.advance(5_000);
    await done;
  });

  it('or not: nobody reads any more', async () => {
    const { clock, warnings, stop, done } = world(
      (signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error))),
    );
    stop.abort(new Error('the agent stops'));
    await expect(done).rejects.toThrow('the agent stops');
    expect([warnings, clock.pendingTimers]).toEqual([[], 0]);
  });
});
