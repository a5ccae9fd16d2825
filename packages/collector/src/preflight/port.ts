/** Whether the service can have its port: it is free, or the service that runs with this data directory has it. */
import type { Clock } from '@relight/shared/clock';
import { RelightError } from '@relight/shared/errors';
import { error, ok, warning, type Finding } from '@relight/shared/finding';
import { processAgeMs } from '@relight/shared/process-age';
import { existsSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { tlsFilesOf } from '../access/tls-files.ts';
import type { CollectorConfig } from '../config.ts';
import { lockDataDir } from '../store/database.ts';
import { healthOf, holderOf } from '../support/listening.ts';

/** `file`: what the configuration was read from; undefined: there is none. */
export async function checkPort(config: CollectorConfig, file: string | undefined, clock: Clock): Promise<readonly Finding[]> {
  const { listen, dataDir } = config;
  const { host, port } = listen;
  const shown = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  if (port === 0) return [ok('any free port is taken')];
  const fault = await tryPort(listen);
  if (fault === null) {
    const elsewhere = isServed(dataDir)
      ? [warning(`a collector runs with this data directory, and does not listen on ${shown}: it has read another configuration`, restart)]
      : [];
    return [ok(`${shown} is free`), ...(port < 1024 ? [lowPort(port)] : []), ...elsewhere];
  }
  if (fault === 'EACCES') return [lowPort(port)];
  if (fault !== 'EADDRINUSE')
    return [error(`cannot listen on ${shown}: ${fault}`, 'Correct listen: it is an address of this machine, or 0.0.0.0.')];
  const holder = await holderOf(port, clock);
  if (isServed(dataDir) && (await answersAsCollector(config, clock)))
    return [ok(`${shown} is held by the collector that runs (${holder})`), ...changedSince(file, holder, clock)];
  return [error(`${shown} is taken by ${holder}`, 'Stop it, or set another listen.')];
}

const restart = 'Once nothing here is an error, let it be read: systemctl restart relight-collector';

/** It reads its file at its start alone. Of a process that this account cannot see nothing is known. */
function changedSince(file: string | undefined, holder: string, clock: Clock): readonly Finding[] {
  const pid = /\(pid (\d+)\)$/.exec(holder)?.[1];
  const changed = file === undefined ? undefined : statSync(file, { throwIfNoEntry: false })?.mtimeMs;
  const startedAgo = pid === undefined ? null : processAgeMs(Number(pid));
  if (changed === undefined || startedAgo === null || changed <= clock.now() - startedAgo) return [];
  return [
    warning(`${file} was changed after the collector that runs (pid ${pid}) was started: it goes on by what it had read then`, restart),
  ];
}

const lowPort = (port: number): Finding =>
  warning(
    `port ${port} is below 1024: for root, or a service that has CAP_NET_BIND_SERVICE`,
    'systemctl edit relight-collector, as the installation page says, or take another port.',
  );

/** Null: it is free. Else the code of what is wrong. */
function tryPort({ host, port }: CollectorConfig['listen']): Promise<string | null> {
  const { promise, resolve } = Promise.withResolvers<string | null>();
  const server = createServer();
  server.once('error', ({ code, message }: NodeJS.ErrnoException) => resolve(code ?? message));
  server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(null)));
  return promise;
}

/** Whether a service uses this data directory now. */
function isServed(dataDir: string): boolean {
  if (!existsSync(join(dataDir, 'service.lock'))) return false;
  try {
    lockDataDir(dataDir, 0).release();
    return false;
  } catch (thrown) {
    return thrown instanceof RelightError && thrown.code === 'already-running';
  }
}

/**
 * By what it served at its start: a certificate that was made since is not shown yet. Plain HTTP is asked only where TLS is not the answer:
 * a service with TLS would count it as a client that does not trust its certificate, and warn of it.
 */
async function answersAsCollector({ listen, dataDir, tls }: CollectorConfig, clock: Clock): Promise<boolean> {
  const answers = async (scheme: 'http' | 'https'): Promise<boolean> => {
    const { status, body } = await healthOf(listen, scheme, clock);
    return status === 200 && body === '{"status":"ok"}';
  };
  return (tlsFilesOf({ dataDir, tls }) !== null && (await answers('https'))) || answers('http');
}
