/**
 * Does a GET answer with the wanted status? Redirects are not followed, the body is not read, certificates are not judged:
 * the question is whether the server works, and health endpoints often have certificates of their own making.
 */
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { interpolate } from '../config/interpolate.ts';
import { answerDeadline } from './deadline.ts';
import { fromContainer, sharesHostNetwork } from './network.ts';
import { measured, type Outcome } from './outcome.ts';
import type { Probe } from './probe.ts';
import { networkFault } from './tcp.ts';

export const http: Probe<'http'> = (spec, context) =>
  measured(context, async () => {
    const url = interpolate(spec.url, context.vars);
    const inside = spec.from === 'container' && !sharesHostNetwork(context.containerPid);
    return inside
      ? fromContainer({ kind: 'http', url, status: spec.status }, context)
      : answers(url, spec.status, context.timeoutMs, context.signal);
  });

/** `status` null: any 2xx. */
export function answers(url: string, status: readonly number[] | null, timeoutMs: number, signal: AbortSignal): Promise<Outcome> {
  if (!URL.canParse(url) || !/^https?:/.test(url)) return Promise.resolve({ ok: false, message: `"${url}" is not an http(s) URL` });
  const options = {
    agent: false,
    rejectUnauthorized: false,
    headers: { 'user-agent': 'relight', connection: 'close' },
    signal: AbortSignal.any([signal, answerDeadline(timeoutMs)]),
  };
  return new Promise((resolve) => {
    const request = (url.startsWith('https:') ? httpsRequest : httpRequest)(url, options, (response) => {
      const code = response.statusCode ?? 0;
      response.destroy();
      resolve({ ok: status === null ? code >= 200 && code < 300 : status.includes(code), message: `HTTP ${code}` });
    });
    request.once('error', (error) => resolve({ ok: false, message: networkFault(error, timeoutMs) }));
    request.end();
  });
}
