/**
 * Does the head of the Ray cluster have this host's node ALIVE? The raylet's own health page cannot tell: it says `success`
 * even after the head has given the node up. A head that cannot be asked says nothing about the node: unknown.
 */
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Clock } from '@relight/shared/clock';
import { errorMessage } from '@relight/shared/errors';
import { interpolate } from '../config/interpolate.ts';
import { isRecentAnswer, nextAsk, type Asked } from './ray-pace.ts';
import { answerDeadline } from './deadline.ts';
import { measured, type Outcome } from './outcome.ts';
import type { Probe, ProbeContext } from './probe.ts';
import { judgeNodes, noRayletYet, nodesUrl, parseNodes } from './ray-nodes.ts';
import { Raylets } from './raylets.ts';
import { sourceAddress } from './source-address.ts';
import { networkFault } from './tcp.ts';

/** 1,010 rows of 600 bytes, and then some. */
const answerBytesMax = 2 << 20;

/** What lasts from one question to the next, for one workload. */
export class RayNodeMemory {
  readonly raylets: Raylets;
  readonly asked = new Map<string, Asked>();
  readonly #addresses = new Map<string, Promise<string>>();

  constructor(clock: Clock) {
    this.raylets = new Raylets({ clock });
  }

  /** Asked once per container and head: neither changes its address while it lives. */
  address(dashboard: URL, context: ProbeContext): Promise<string> {
    const key = `${context.containerPid} ${dashboard.host}`;
    const known = this.#addresses.get(key);
    if (known !== undefined) return known;
    this.#addresses.clear();
    const port = Number(dashboard.port) || (dashboard.protocol === 'https:' ? 443 : 80);
    const asking = sourceAddress({ host: dashboard.hostname.replace(/^\[(.*)\]$/, '$1'), port }, context);
    this.#addresses.set(key, asking);
    asking.catch(() => this.#addresses.delete(key));
    return asking;
  }
}

export const rayNode: Probe<'ray-node'> = (spec, context) =>
  measured(context, async () => {
    const { ray, containerId, signal, clock } = context;
    const text = interpolate(spec.dashboard, context.vars);
    if (!URL.canParse(text)) return { ok: false, message: `"${text}" is not an http(s) URL` };
    const before = await ray.raylets.look(containerId, signal);
    // Until there is a raylet the head has nothing to tell.
    if (before.starting) return noRayletYet;
    const known = ray.asked.get(text);
    const now = clock.monotonic();
    if (context.pace !== undefined && isRecentAnswer(known, before.running, now)) return known.outcome;
    const outcome = await ask(new URL(text), spec.nodeIp, context);
    ray.asked.set(text, nextAsk(known, before.running, outcome, now, context.pace ?? { intervalMs: 0, random: 0 }));
    return outcome;
  });

const unknown = (message: string): Outcome => ({ ok: false, unknown: true, message });

async function ask(dashboard: URL, nodeIp: string | null, context: ProbeContext): Promise<Outcome> {
  let ip: string;
  try {
    ip = nodeIp === null ? await context.ray.address(dashboard, context) : interpolate(nodeIp, context.vars);
  } catch (thrown) {
    return unknown(`the address of this node towards ${dashboard.host} cannot be told: ${errorMessage(thrown)}`);
  }
  const answer = await get(nodesUrl(dashboard.href, ip), context);
  if ('fault' in answer) return unknown(`the head at ${dashboard.host} does not tell: ${answer.fault}`);
  const nodes = parseNodes(answer.body);
  if (nodes === null) return unknown(`what answers at ${dashboard.host} is not Ray's dashboard, or one of a version that is not known`);
  // As it is now: a raylet may have ended while the head was asked.
  return judgeNodes(nodes, ip, await context.ray.raylets.look(context.containerId, context.signal));
}

type Answer = { readonly body: string } | { readonly fault: string };

function get(url: string, { timeoutMs, signal }: ProbeContext): Promise<Answer> {
  const options = {
    agent: false,
    rejectUnauthorized: false,
    headers: { 'user-agent': 'relight', accept: 'application/json', connection: 'close' },
    signal: AbortSignal.any([signal, answerDeadline(timeoutMs)]),
  };
  return new Promise((resolve) => {
    const request = (url.startsWith('https:') ? httpsRequest : httpRequest)(url, options, (response) => {
      if (response.statusCode !== 200) {
        response.destroy();
        resolve({ fault: `HTTP ${response.statusCode ?? 0}` });
        return;
      }
      const chunks: Buffer[] = [];
      let size = 0;
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        size += chunk.length;
        if (size > answerBytesMax) response.destroy(new Error('the answer is too long'));
      });
      response.once('end', () => resolve({ body: Buffer.concat(chunks).toString('utf8') }));
      response.once('error', (error) => resolve({ fault: networkFault(error, timeoutMs) }));
    });
    request.once('error', (error) => resolve({ fault: networkFault(error, timeoutMs) }));
    request.end();
  });
}
