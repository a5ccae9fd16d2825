/** Can a connection be opened? From the host, or in the container's network namespace. */
import { connect } from 'node:net';
import { interpolate } from '../config/interpolate.ts';
import { answerDeadline } from './deadline.ts';
import { fromContainer, sharesHostNetwork } from './network.ts';
import { measured, type Outcome } from './outcome.ts';
import type { Probe } from './probe.ts';

export const tcp: Probe<'tcp'> = (spec, context) =>
  measured(context, async () => {
    const address = interpolate(spec.address, context.vars);
    const inside = spec.from === 'container' && !sharesHostNetwork(context.containerPid);
    return inside ? fromContainer({ kind: 'tcp', address }, context) : connects(address, context.timeoutMs, context.signal);
  });

/** `HOST:PORT` or `[IPV6]:PORT`. */
export function connects(address: string, timeoutMs: number, signal: AbortSignal): Promise<Outcome> {
  const split = address.lastIndexOf(':');
  const host = address.slice(0, split).replace(/^\[(.*)\]$/, '$1');
  const port = Number(address.slice(split + 1));
  if (split < 1 || !Number.isInteger(port) || port < 1 || port > 65_535) {
    return Promise.resolve({ ok: false, message: `"${address}" is not HOST:PORT` });
  }
  return new Promise((resolve) => {
    const socket = connect({ host, port, signal: AbortSignal.any([signal, answerDeadline(timeoutMs)]) });
    const settle = (outcome: Outcome): void => {
      socket.destroy();
      resolve(outcome);
    };
    socket.once('connect', () => settle({ ok: true, message: 'connected' }));
    socket.once('error', (error) => settle({ ok: false, message: networkFault(error, timeoutMs) }));
  });
}

const faults: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  EHOSTUNREACH: 'no route to host',
  ENETUNREACH: 'network is unreachable',
  ENOTFOUND: 'name not found',
  EAI_AGAIN: 'name server does not answer',
  ETIMEDOUT: 'no answer',
};

/** One short line for a person. */
export function networkFault(error: Error, timeoutMs: number): string {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  if (code === 'ABORT_ERR') return `no answer within ${timeoutMs} ms`;
  // With several addresses Node gives an AggregateError without a message of its own.
  const first = error instanceof AggregateError ? (error.errors[0] as Error | undefined) : undefined;
  return faults[code] ?? (error.message === '' ? (first?.message ?? code) : error.message);
}
