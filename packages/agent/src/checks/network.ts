/**
 * Network probes in a container's network namespace: a thread cannot change its namespace, so a child does, with
 * util-linux's `nsenter`, and this very Node runs the probe there. It needs nothing of the image. Names are resolved as on
 * the host. Costs about 40 ms of CPU; containers in the host's network, the usual case on a fleet, never come here.
 */
import { readlinkSync } from 'node:fs';
import { runChild } from '@relight/shared/child';
import type { Outcome } from './outcome.ts';
import type { ProbeContext } from './probe.ts';

type Question =
  | { readonly kind: 'tcp'; readonly address: string }
  | { readonly kind: 'http'; readonly url: string; readonly status: readonly number[] | null };

/** CommonJS for `node -e`; prints one line: `ok MESSAGE` or `no MESSAGE`. */
const script = `
const q = JSON.parse(process.argv[1]);
const say = (ok, message) => { process.stdout.write((ok ? 'ok ' : 'no ') + message, () => process.exit(0)); };
const fault = (error) => say(false, error.code === 'ECONNREFUSED' ? 'connection refused' : error.message || error.code);
if (q.kind === 'tcp') {
  const at = q.address.lastIndexOf(':');
  const socket = require('node:net').connect(Number(q.address.slice(at + 1)), q.address.slice(0, at).replace(/^\\[(.*)\\]$/, '$1'));
  socket.once('connect', () => say(true, 'connected'));
  socket.once('error', fault);
} else {
  const client = require(q.url.startsWith('https:') ? 'node:https' : 'node:http');
  const request = client.get(q.url, { agent: false, rejectUnauthorized: false, headers: { 'user-agent': 'relight', connection: 'close' } }, (response) => {
    const code = response.statusCode;
    say(q.status === null ? code >= 200 && code < 300 : q.status.includes(code), 'HTTP ' + code);
  });
  request.once('error', fault);
}`;

export async function fromContainer(question: Question, context: ProbeContext): Promise<Outcome> {
  const child = await runChild({
    argv: ['nsenter', '-t', String(context.containerPid), '-n', '--', process.execPath, '-e', script, JSON.stringify(question)],
    clock: context.clock,
    timeoutMs: context.timeoutMs,
    signal: context.signal,
    env: { PATH: process.env['PATH'] },
  });
  if (child.spawnError !== null)
    return { ok: false, message: `nsenter cannot be started on this host (${child.spawnError}): install util-linux` };
  if (child.timedOut) return { ok: false, message: `no answer within ${context.timeoutMs} ms` };
  const answer = /^(ok|no) (.*)$/s.exec(child.stdout);
  if (answer === null) return { ok: false, message: child.stderr.trim().split('\n').at(-1) ?? 'the probe said nothing' };
  return { ok: answer[1] === 'ok', message: answer[2] ?? '' };
}

export function sharesHostNetwork(containerPid: number): boolean {
  return readlinkSync(`/proc/${containerPid}/ns/net`) === readlinkSync('/proc/self/ns/net');
}
