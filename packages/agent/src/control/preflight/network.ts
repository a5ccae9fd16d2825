/** Ports of this host, and the way to the collector. */
import { access } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import { certificateAdvice } from '@relight/shared/certificate';
import { skewAdvice, skewDirection, skewMsMax } from '@relight/shared/clock-skew';
import { connectReason } from '@relight/shared/connect-reason';
import { encodePreflight, preflightHeader, type Preflight } from '@relight/shared/preflight';
import { closeCodes } from '@relight/shared/protocol';
import type { CollectorSpec, PortSpec, WorkloadSpec } from '../../config/spec.ts';
import { trustOptions } from '../../uplink/access.ts';
import { openWebSocket, type SocketListener } from '../../uplink/socket.ts';
import { error, ok, warning, type Finding } from '@relight/shared/finding';
import { holderOfPort } from '@relight/shared/port-holder';

const collectorMs = 5_000;

/** `agent`: as the service would name itself. Any answer of `/healthz` but 200 is an error: then no event of this host would arrive. */
export async function checkCollector(collector: CollectorSpec, agent: Preflight | null): Promise<readonly Finding[]> {
  const url = new URL(`${collector.url.replace(/^ws/, 'http')}/healthz`);
  try {
    const { status, skewMs } = await get(url, collector);
    if (status === 200) return [await checkAdmission(collector, agent), ...checkClock(skewMs)];
    return [error(`the collector at ${collector.url} answers /healthz with ${status}`, 'Check collector.url: is it a Relight collector?')];
  } catch (thrown) {
    const message = connectReason(thrown) || 'no answer';
    return [
      error(
        `the collector at ${collector.url} cannot be reached: ${message}`,
        certificateAdvice(thrown) ?? 'Check its address, the network and ca_file. Workloads run without it.',
      ),
    ];
  }
}

/** By the collector's Date header, which counts whole seconds; null: it sent none. */
function checkClock(skewMs: number | null): readonly Finding[] {
  if (skewMs === null || Math.abs(skewMs) <= skewMsMax) return [];
  const seconds = Math.round(Math.abs(skewMs) / 1_000);
  return [warning(`the clock of this host is ${seconds} s ${skewDirection(skewMs)}`, skewAdvice)];
}

/** Knocks at the agents' door with the token, as the agent that it is, and leaves: only what is refused there is an error. */
function checkAdmission(collector: CollectorSpec, agent: Preflight | null): Promise<Finding> {
  const { promise, resolve } = Promise.withResolvers<Finding>();
  const answers = ok(`the collector at ${collector.url} answers`);
  const ignore = (): void => undefined;
  try {
    const listener: SocketListener = {
      opened: () => {
        resolve(ok(`the collector at ${collector.url} answers and takes the token`));
        socket.close(closeCodes.goodbye, 'preflight');
      },
      text: ignore,
      alive: ignore,
      closed: ({ status, reason, advice }) => {
        const refused = status === 401 || status === 403;
        resolve(
          refused ? error(`the collector at ${collector.url} refuses this agent: ${reason}`, advice ?? 'Correct token_file.') : answers,
        );
      },
    };
    const socket = openWebSocket(collector, listener, agent === null ? {} : { [preflightHeader]: encodePreflight(agent) });
  } catch {
    // A token_file or ca_file that cannot be read is a finding of its own.
    resolve(answers);
  }
  return promise;
}

interface Answer {
  readonly status: number;
  /** Positive: this host is ahead. */
  readonly skewMs: number | null;
}

async function get(url: URL, collector: CollectorSpec): Promise<Answer> {
  // A missing ca_file is a finding of its own; the collector may still be reached without it.
  const known =
    collector.caFile === null ||
    (await access(collector.caFile).then(
      () => true,
      () => false,
    ));
  const trust = trustOptions(known ? collector : { ...collector, caFile: null });
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const request = url.protocol === 'https:' ? httpsRequest(url, trust) : httpRequest(url);
  request
    .setTimeout(collectorMs, () => request.destroy(new Error(`no answer within ${collectorMs / 1_000} s`)))
    .on('error', reject)
    .on('response', (response) => {
      response.resume();
      const date = Date.parse(response.headers.date ?? '');
      resolve({ status: response.statusCode ?? 0, skewMs: Number.isNaN(date) ? null : Date.now() - date });
    })
    .end();
  return promise;
}

export async function checkPorts(workload: WorkloadSpec): Promise<readonly Finding[]> {
  const found: Finding[] = [];
  for (const port of workload.container.ports) {
    const { hostPort, protocol } = port;
    // The engine chooses a free one; SCTP cannot be tried from here.
    if (hostPort === undefined || protocol === 'sctp') continue;
    const fault = await tryPort(port, hostPort);
    if (fault === null) {
      found.push(ok(`${workload.name}: port ${hostPort}/${protocol} is free`));
      continue;
    }
    const holder = fault === 'EADDRINUSE' ? await holderOfPort(hostPort, protocol) : null;
    const why = fault === 'EADDRINUSE' ? `is taken${holder === null ? '' : ` by ${holder}`}` : `cannot be used: ${fault}`;
    found.push(error(`${workload.name}: port ${hostPort}/${protocol} ${why}`, 'Stop the holder, or publish another port.'));
  }
  return found;
}

/** Null: it is free. Otherwise the error code of the attempt. */
function tryPort({ protocol, hostIp }: PortSpec, port: number): Promise<string | null> {
  const host = hostIp === '' ? '0.0.0.0' : hostIp;
  const { promise, resolve } = Promise.withResolvers<string | null>();
  const failed = (thrown: NodeJS.ErrnoException): void => resolve(thrown.code ?? thrown.message);
  if (protocol === 'udp') {
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
    socket.once('error', failed).bind({ port, address: host, exclusive: true }, () => socket.close(() => resolve(null)));
  } else {
    const server = createServer();
    server.once('error', failed).listen({ port, host, exclusive: true }, () => server.close(() => resolve(null)));
  }
  return promise;
}
