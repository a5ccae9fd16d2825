/**
 * Pure. The kernel's log is of the whole host: that another container had no memory left is no clue about ours, and whoever reads
 * the evidence of an incident must not take it for one. Such lines stay, set off by a mark.
 */
import { foreignKernelLine } from '@relight/shared/incident-view';
import { cgroupOfContainer, noOom, oomStep, type OomContext, type OomFact } from '../host/kernel-log/oom.ts';

export interface KernelLine {
  /** Epoch milliseconds. */
  readonly at: number;
  readonly text: string;
}

/** One text of all lines, oldest first. `containerId`: of the incident's container, empty when it has none. */
export function kernelText(lines: readonly KernelLine[], containerId: string): string {
  const foreign = foreignLines(
    lines.map(({ text }) => text),
    containerId,
  );
  return lines.map(({ at, text }, i) => `${new Date(at).toISOString()}  ${foreign.has(i) ? foreignKernelLine : ''}${text}`).join('\n');
}

/** A report begins with who wanted memory, and ends with who was killed. */
const begins = / invoked oom-killer: /;

function foreignLines(texts: readonly string[], containerId: string): ReadonlySet<number> {
  const foreign = new Set<number>();
  let context: OomContext = noOom;
  let start: number | null = null;
  for (const [i, text] of texts.entries()) {
    if (begins.test(text)) start = i;
    const step = oomStep(context, text);
    context = step.context;
    if (step.fact === null) continue;
    if (isOfAnother(step.fact, containerId)) for (let line = start ?? i; line <= i; line += 1) foreign.add(line);
    start = null;
  }
  return foreign;
}

/** The limit of a slice, or of the host, may be everybody's trouble. */
function isOfAnother({ constraint, cgroup, limitOf }: OomFact, containerId: string): boolean {
  if (constraint === 'host' || cgroupOfContainer(limitOf, containerId) || cgroupOfContainer(cgroup, containerId)) return false;
  return /[0-9a-f]{64}/.test(limitOf ?? cgroup ?? '');
}
