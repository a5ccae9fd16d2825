import { Option } from 'commander';
import type { ApiHost } from '@relight/shared/api';
import { delay } from '@relight/shared/clock';
import { RelightError, errorMessage } from '@relight/shared/errors';
import { phases, type Phase } from '@relight/shared/phase';
import { formatDurationMs } from '@relight/shared/units';
import { choice, durationMs } from '../arguments.ts';
import { askUrl } from '../ask-url.ts';
import { examples, type AddCommand, type Cli } from '../cli.ts';
import { segment, type ApiClient, type Query } from '../client.ts';
import { exitCodeOf } from '../exit-code.ts';
import { follow } from '../follow.ts';
import { sanitize } from '../view/sanitize.ts';
import { judge, parseWaitTarget, type Verdict, type WaitTarget } from '../wait-target.ts';

interface WaitOptions {
  readonly for: Phase;
  readonly timeout: number;
  readonly interval: number;
}

const urlTimeoutMs = 5_000;
/** Between two looks that a change woke. A selector may mean the whole fleet, and something changes there all the time. */
const lookMsMin = { host: 200, selector: 1_000 };
/** With more targets than this, the interval alone decides when to look. */
const watchedMax = 8;

export const addWait: AddCommand = (program, cli) => {
  program
    .command('wait')
    .summary('until workloads, hosts or URLs are ready')
    .description('Waits until every target is ready. A URL that is refused, times out or answers anything but 2xx is starting.')
    .argument(
      '<target...>',
      'HOST/WORKLOAD, HOST (all its workloads), a selector like pool=v5e, or a URL',
      (text: string, before: readonly WaitTarget[] | undefined) => [...(before ?? []), parseWaitTarget(text)],
    )
    .option('--for <phase>', 'wait for this phase', choice(phases), 'ready')
    .addOption(new Option('--timeout <duration>', 'give up after this time').argParser(durationMs).default(durationMs('5m'), '5m'))
    .addOption(
      new Option('--interval <duration>', 'look and report at least this often').argParser(durationMs).default(durationMs('5s'), '5s'),
    )
    .addHelpText(
      'after',
      examples([
        'relight wait tpu-v5e-0/ray-worker',
        'relight wait pool=v5e --timeout 25m',
        'relight wait http://10.0.0.1:8265/api/version --interval 1s',
      ]),
    )
    .action((targets: readonly WaitTarget[], options: WaitOptions) => wait(targets, options, cli));
};

async function wait(targets: readonly WaitTarget[], options: WaitOptions, cli: Cli): Promise<void> {
  const { io } = cli;
  const needsCollector = targets.some((target) => target.kind !== 'url');
  const client = needsCollector ? cli.client() : null;
  const stop = new AbortController();
  const signal = AbortSignal.any([io.signal, stop.signal]);
  const changed = client === null ? () => new Promise<void>(() => {}) : watchTargets(client, targets, cli, signal);
  const pauseMs = targets.some((target) => target.kind === 'selector') ? lookMsMin.selector : lookMsMin.host;
  const began = io.clock.monotonic();
  const elapsedMs = (): number => io.clock.monotonic() - began;
  const shown = new Map<string, { text: string; at: number }>();
  try {
    for (;;) {
      // Taken before looking: what changes from here on wakes the next look.
      const change = changed();
      const verdicts = await Promise.all(targets.map((target) => look(target, options.for, client)));
      for (const [i, verdict] of verdicts.entries()) {
        const name = targets[i]?.text ?? '';
        const before = shown.get(name);
        if (before?.text === verdict.text && elapsedMs() - before.at < options.interval) continue;
        shown.set(name, { text: verdict.text, at: elapsedMs() });
        await io.write(`${formatDurationMs(elapsedMs()).padStart(10)}  ${sanitize(name)}  ${sanitize(verdict.text)}\n`);
      }
      if (verdicts.every((verdict) => verdict.done)) return;
      const leftMs = options.timeout - elapsedMs();
      if (leftMs <= 0) {
        io.note(`relight: not ${options.for} after ${formatDurationMs(options.timeout)}`);
        cli.exitWith(verdicts.every((verdict) => verdict.done || verdict.unreachable === true) ? 3 : 1);
        return;
      }
      await delay(io.clock, Math.min(pauseMs, leftMs), signal);
      await Promise.race([delay(io.clock, Math.max(0, Math.min(options.interval - pauseMs, leftMs - pauseMs)), signal), change]);
    }
  } catch (thrown) {
    // Ended by Ctrl-C: whether it would have become ready is not known.
    if (!io.signal.aborted) throw thrown;
    cli.exitWith(130);
  } finally {
    stop.abort();
  }
}

type Seen = Verdict & { readonly unreachable?: boolean };

async function look(target: WaitTarget, goal: Phase, client: ApiClient | null): Promise<Seen> {
  if (target.kind === 'url') return probe(target.text);
  if (client === null) throw new RelightError('internal', 'a target of the collector without a client');
  try {
    if (target.kind === 'selector') return judge(target, (await client.list<ApiHost>('hosts', { label: target.text })).items, goal);
    return judge(target, [await client.get<ApiHost>(`hosts/${segment(target.host)}`)], goal);
  } catch (thrown) {
    if (!(thrown instanceof RelightError)) throw thrown;
    if (thrown.code === 'not-found') return judge(target, [], goal);
    // The collector may be starting, too. A wrong token will not become right.
    if (exitCodeOf(thrown.code) !== 3) throw thrown;
    return { done: false, text: `${thrown.message}. ${thrown.advice}`, unreachable: true };
  }
}

async function probe(url: string): Promise<Seen> {
  const signal = AbortSignal.timeout(urlTimeoutMs);
  try {
    const status = await askUrl(url, signal);
    return status >= 200 && status < 300
      ? { done: true, text: `ready: HTTP ${status}` }
      : { done: false, text: `starting: HTTP ${status}` };
  } catch (thrown) {
    if (signal.aborted) return { done: false, text: `starting: no answer within ${formatDurationMs(urlTimeoutMs)}` };
    const { code } = thrown as { code?: unknown };
    return { done: false, text: `starting: ${typeof code === 'string' ? code : errorMessage(thrown)}` };
  }
}

/** Calls return a promise of the next change of what is waited for. Looking at every interval remains the safety net. */
function watchTargets(client: ApiClient, targets: readonly WaitTarget[], { io }: Cli, signal: AbortSignal): () => Promise<void> {
  const hosts = [...new Set(targets.flatMap((target) => (target.kind === 'host' ? [target.host] : [])))];
  const labels = targets.filter((target) => target.kind === 'selector').map((target) => target.text);
  const queries: readonly Query[] = [...hosts.map((host) => ({ host })), ...labels.map((label) => ({ label }))];
  let wake = Promise.withResolvers<void>();
  async function watch(query: Query): Promise<void> {
    const ignore = (): void => {};
    try {
      for await (const _batch of follow(client, 'stream', query, { clock: io.clock, signal, onLost: ignore, onBack: ignore })) {
        wake.resolve();
        wake = Promise.withResolvers<void>();
      }
    } catch {
      // Whatever it is, the next look meets it, too, and says so.
    }
  }
  if (queries.length <= watchedMax) for (const query of queries) void watch(query);
  return () => wake.promise;
}
