/** Variables and dependencies as they are now. Warnings only: the workload waits for both. */
import { systemClock } from '@relight/shared/clock';
import { toRelightError } from '@relight/shared/errors';
import { answers } from '../../checks/http.ts';
import { connects } from '../../checks/tcp.ts';
import { interpolate } from '../../config/interpolate.ts';
import type { AgentSpec, DependencySpec } from '../../config/spec.ts';
import { resolveVars } from '../../stages/prepare.ts';
import { ok, warning, type Finding } from '@relight/shared/finding';

type Values = Readonly<Record<string, string>>;

export async function checkDependencies(spec: AgentSpec): Promise<readonly Finding[]> {
  const { signal } = new AbortController();
  let vars: Values;
  try {
    vars = await resolveVars(spec.vars, { clock: systemClock, signal });
  } catch (thrown) {
    const { message } = toRelightError(thrown);
    return [warning(`vars: ${message}`, 'Run its command by hand on this host; workloads wait until it has a value.')];
  }
  const found = spec.vars.filter((variable) => 'run' in variable).map(({ name }) => ok(`vars.${name}: its command gives a value`));
  const asked = await Promise.all(
    spec.workloads.flatMap(({ name, dependsOn }) => dependsOn.map((dependency) => ask(name, dependency, vars, signal))),
  );
  return [...found, ...asked];
}

async function ask(workload: string, dependency: DependencySpec, vars: Values, signal: AbortSignal): Promise<Finding> {
  const template = dependency.kind === 'tcp' ? dependency.address : dependency.url;
  const target = interpolate(template, vars);
  const { timeoutMs } = dependency;
  const outcome = dependency.kind === 'tcp' ? await connects(target, timeoutMs, signal) : await answers(target, null, timeoutMs, signal);
  if (outcome.ok) return ok(`${workload}: depends_on ${template} answers`);
  return warning(
    `${workload}: depends_on ${template} does not answer: ${outcome.message}`,
    'Nothing, if it is down on purpose: the workload waits for it.',
  );
}
