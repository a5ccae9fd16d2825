/** Who has the port, and whether what listens there is a collector that answers. No secret is sent, so nothing is asked that needs one. */
import type { Clock } from '@relight/shared/clock';
import { fingerprintOf } from '@relight/shared/certificate';
import { errorMessage } from '@relight/shared/errors';
import { holderOfPort } from '@relight/shared/port-holder';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { TLSSocket } from 'node:tls';
import type { CollectorConfig } from '../config.ts';
import type { Gathered } from './ask-part.ts';
import { json } from './part.ts';

const deadlineMs = 5_000;
const bodyCharsMax = 4_096;
const forOperators = 'only operators are told it: make "relight support-bundle" as well, where the collector answers';

type Listen = CollectorConfig['listen'];

/** Never rejects. `scheme`: of the configuration; null: nobody knows. */
export async function lookAtPort(listen: Listen, scheme: 'http' | 'https' | null, clock: Clock): Promise<Gathered> {
  const answers = await Promise.all(
    (scheme === null ? (['https', 'http'] as const) : [scheme]).map((each) => healthOf(listen, each, clock)),
  );
  const facts = {
    listen: `${listen.host}:${listen.port}`,
    heldBy: listen.port === 0 ? null : await holderOf(listen.port, clock),
    healthz: answers,
  };
  return {
    pieces: [{ name: 'listening.json', text: json(facts) }],
    missing: ['metrics.txt', 'api.json'].map((name) => ({ name, reason: forOperators })),
  };
}

/** Thousands of processes are looked at, one after the other. */
export async function holderOf(port: number, clock: Clock): Promise<string> {
  const looked = holderOfPort(port, 'tcp').then(
    (holder) => holder ?? 'nobody that this account can see',
    (error: unknown) => errorMessage(error),
  );
  const waited = new Promise<string>((resolve) => {
    const timer = clock.after(deadlineMs, () => resolve(`not found within ${deadlineMs / 1_000} s`));
    void looked.finally(() => timer.cancel());
  });
  return Promise.race([looked, waited]);
}

/** On all addresses: also on this one. */
const reachable = ({ host }: Listen): string => (host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host);

/** What `/healthz` answers there; never rejects. */
export interface Health {
  readonly url: string;
  readonly tookMs: number;
  readonly status?: number;
  readonly body?: string;
  readonly fingerprint?: string;
  readonly error?: string;
}

export function healthOf(listen: Listen, scheme: 'http' | 'https', clock: Clock): Promise<Health> {
  const host = reachable(listen);
  const url = `${scheme}://${host.includes(':') ? `[${host}]` : host}:${listen.port}/healthz`;
  return new Promise((resolve) => {
    const began = clock.monotonic();
    const end = (found: Pick<Health, 'status' | 'body' | 'fingerprint' | 'error'>): void => {
      timer.cancel();
      resolve({ url, tookMs: Math.round(clock.monotonic() - began), ...found });
      request.destroy();
    };
    // Whether it is the right certificate is what the bundle is read for.
    const options = { agent: false, rejectUnauthorized: false } as const;
    const request = scheme === 'https' ? requestHttps(url, options) : requestHttp(url, { agent: false });
    const timer = clock.after(deadlineMs, () => end({ error: `no answer within ${deadlineMs / 1_000} s` }));
    request.on('error', (error) => end({ error: errorMessage(error) }));
    request.on('response', (response) => {
      const certificate = scheme === 'https' ? (response.socket as TLSSocket).getPeerX509Certificate() : undefined;
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (text: string) => (body = `${body}${text}`.slice(0, bodyCharsMax)));
      response.on('end', () =>
        end({ status: response.statusCode ?? 0, body, ...(certificate === undefined ? {} : { fingerprint: fingerprintOf(certificate) }) }),
      );
      response.on('error', (error) => end({ error: errorMessage(error) }));
    });
    request.end();
  });
}
