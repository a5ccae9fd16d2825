/** An engine that says nothing about one container: its socket, with requests that name what is muted taken in and never answered. */
import { rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';

export interface MutingProxy extends AsyncDisposable {
  readonly socket: string;
  /** `name`: as it stands in the paths of requests. The agent asks by id. */
  mute(name: string): void;
  /** What was asked in vain is answered now, as when a lock is given back. */
  unmute(): void;
}

export async function startMutingProxy(engineSocket: string, path: string): Promise<MutingProxy> {
  let muted: string | null = null;
  const waiting = new Set<() => void>();
  const open = new Set<Socket>();
  const server = createServer((client) => {
    open.add(client);
    client.once('close', () => open.delete(client));
    client.on('error', () => client.destroy());
    client.once('data', (first: Buffer) => {
      const forward = (): void => {
        waiting.delete(forward);
        const engine = connect(engineSocket);
        engine.on('error', () => client.destroy());
        client.once('close', () => engine.destroy());
        engine.write(first);
        client.pipe(engine).pipe(client);
      };
      // The agent makes a connection for every request.
      const [line = ''] = first.toString('latin1').split('\r\n', 1);
      if (muted === null || !line.includes(`/containers/${muted}/`)) {
        forward();
        return;
      }
      client.pause();
      waiting.add(forward);
      client.once('close', () => waiting.delete(forward));
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {
    socket: path,
    mute: (name) => {
      muted = name;
    },
    unmute: () => {
      muted = null;
      for (const forward of waiting) forward();
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of open) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      rmSync(path, { force: true });
    },
  };
}
