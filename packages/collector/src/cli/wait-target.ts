/** What `relight wait` waits for, and whether it is so. Pure. */
import { InvalidArgumentError } from 'commander';
import type { ApiHost } from '@relight/shared/api';
import type { Phase } from '@relight/shared/phase';
import { matchesSelector, parseSelector, type Selector } from '@relight/shared/selector';
import { selector, target } from './arguments.ts';

export type WaitTarget = { readonly text: string } & (
  | { readonly kind: 'url' }
  | { readonly kind: 'selector'; readonly selector: Selector }
  | { readonly kind: 'host'; readonly host: string; readonly workload: string | null }
);

export function parseWaitTarget(text: string): WaitTarget {
  if (/^https?:\/\//i.test(text)) {
    if (!URL.canParse(text)) throw new InvalidArgumentError('Expected a URL like http://10.0.0.1:8265/api/version.');
    return { kind: 'url', text };
  }
  if (text.includes('=')) return { kind: 'selector', text, selector: parseSelector(selector(text)) ?? [] };
  return { kind: 'host', text, ...target(text) };
}

export interface Verdict {
  readonly done: boolean;
  /** Where it stands, for a person. */
  readonly text: string;
}

/** `hosts`: those the target may concern, all of the fleet for a selector. */
export function judge(wanted: Exclude<WaitTarget, { kind: 'url' }>, hosts: readonly ApiHost[], goal: Phase): Verdict {
  if (wanted.kind === 'selector') {
    const chosen = hosts.filter((host) => matchesSelector(wanted.selector, host.labels));
    if (chosen.length === 0) return { done: false, text: 'no host has these labels yet' };
    return all(chosen.map((host) => judgeHost(host, null, goal)));
  }
  const host = hosts.find(({ name }) => name === wanted.host);
  return host === undefined ? { done: false, text: 'the collector does not know this host yet' } : judgeHost(host, wanted.workload, goal);
}

function judgeHost(host: ApiHost, workload: string | null, goal: Phase): Verdict {
  // What a silent host said last proves nothing about now.
  if (host.state !== 'connected' && goal !== 'stopped' && goal !== 'unknown') {
    return { done: false, text: `host ${host.name} is ${host.state}: ${host.reason}` };
  }
  const chosen = workload === null ? host.workloads : host.workloads.filter(({ name }) => name === workload);
  if (chosen.length === 0) {
    return workload === null
      ? { done: true, text: `${host.name} is connected, without workloads` }
      : { done: false, text: 'the host does not have this workload yet' };
  }
  return all(
    chosen.map(({ name, phase, stage, reason }) => ({
      done: phase === goal,
      text: phase === goal ? phase : `${workload === null ? `${host.name}/${name} ` : ''}${phase}: ${stage ?? reason}`,
    })),
  );
}

function all(verdicts: readonly Verdict[]): Verdict {
  const open = verdicts.filter((verdict) => !verdict.done);
  if (open.length === 0) return { done: true, text: verdicts.length === 1 ? (verdicts[0]?.text ?? '') : `all ${verdicts.length}` };
  const done = verdicts.length === 1 ? '' : `${verdicts.length - open.length} of ${verdicts.length}; `;
  return { done: false, text: `${done}${open[0]?.text ?? ''}` };
}
