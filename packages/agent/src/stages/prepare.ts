/** Variables, in order, the accelerators of the host, then every dependency once. Nothing here touches the container. */
import type { Clock } from '@relight/shared/clock';
import { RelightError, toRelightError } from '@relight/shared/errors';
import { formatDurationMs } from '@relight/shared/units';
import { answers } from '../checks/http.ts';
import { connects } from '../checks/tcp.ts';
import { interpolate } from '../config/interpolate.ts';
import type { DependencySpec, VarSpec } from '../config/spec.ts';
import type { OpValue } from '../supervisor/op.ts';
import { runChild } from '@relight/shared/child';
import { throwIfAborted } from './context.ts';
import { lastLines, withOutput } from './output.ts';
import { commandArgv } from './run-wrapper.ts';
import type { StageContext } from './stage.ts';
import { usedInside } from './variable-use.ts';

/** A value is an address or a token, never a document. */
const valueBytesMax = 64 * 1024;

/** A dependency that is down is asked each second, but a variable may be a call to a cloud: at most a tenth of the time goes there. */
const pauseFactor = 9;

export async function prepare(context: StageContext): Promise<Extract<OpValue, { kind: 'prepare' }>> {
  const { accelerators, agent, spec } = context;
  await resolveAndAsk(context, async () => accelerators?.mayStart(spec.container));
  const fixed = spec.dependsOn.length === 0 && agent.vars.every((variable) => 'value' in variable);
  return { kind: 'prepare', ...(fixed ? { fixed } : {}) };
}

/** Long after `prepare`, in the middle of the way: whoever starts next gets what is true now. */
export async function refresh(context: StageContext): Promise<{ readonly kind: 'refresh' }> {
  await resolveAndAsk(context, async (vars) => tellChanged(context.vars, vars, context));
  return { kind: 'refresh' };
}

/** Told when it is found out, not when the dependency answers: that may take long. Values are never told. */
function tellChanged(before: Vars, after: Vars, context: StageContext): void {
  for (const name of Object.keys(after)) {
    if (after[name] === before[name]) continue;
    const used = usedInside(name, context.spec);
    const message = `variable ${name} has changed since this attempt began: what starts from now on gets the new value`;
    context.emit({
      kind: 'host.notice',
      severity: used ? 'warning' : 'info',
      message: used ? `${message}; mounts and steps that were made with the earlier one stay as they are` : message,
      data: { variable: name, usedInside: used },
    });
  }
}

type Vars = Readonly<Record<string, string>>;

/** @param between done as soon as the variables are known */
async function resolveAndAsk(context: StageContext, between: (vars: Vars) => Promise<void>): Promise<void> {
  const { clock, earlier, signal, spec } = context;
  const known = earlier !== undefined && clock.monotonic() - earlier.at < pauseFactor * earlier.tookMs ? context.vars : null;
  // Still down as it was known a moment ago: that ends here, and nothing is resolved for it.
  if (known !== null) await checkDependencies(spec.dependsOn, known, signal);
  const began = clock.monotonic();
  const vars = await resolveVars(context.agent.vars, context);
  context.setVars(vars, clock.monotonic() - began);
  await between(vars);
  const same = known !== null && Object.keys(vars).every((name) => vars[name] === known[name]);
  if (!same) await checkDependencies(spec.dependsOn, vars, signal);
}

async function checkDependencies(
  dependencies: readonly DependencySpec[],
  vars: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<void> {
  for (const dependency of dependencies) await checkDependency(dependency, vars, signal);
}

interface ResolveContext {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  progress?(stage: string): void;
}

/** Host commands run one after the other, each with the earlier values in its environment. Fails with variable-failed. */
export async function resolveVars(specs: readonly VarSpec[], context: ResolveContext): Promise<Readonly<Record<string, string>>> {
  const vars: Record<string, string> = {};
  for (const spec of specs) {
    context.progress?.(`variable ${spec.name}`);
    vars[spec.name] = 'value' in spec ? spec.value : await runVariable(spec, vars, context);
  }
  return vars;
}

type VariableCommand = Extract<VarSpec, { run: unknown }>;

async function runVariable(
  spec: VariableCommand,
  vars: Readonly<Record<string, string>>,
  { clock, signal }: ResolveContext,
): Promise<string> {
  const [program = 'sh', ...args] = commandArgv(spec.run, null);
  const child = await runChild({
    argv: [program, ...args],
    clock,
    timeoutMs: spec.timeoutMs,
    signal,
    env: { ...process.env, ...vars },
    outputBytesMax: valueBytesMax,
  });
  throwIfAborted(signal);
  const fail = (why: string): RelightError =>
    new RelightError('variable-failed', `variable ${spec.name}: ${withOutput(why, lastLines(child.stderr, 3))}`, {
      data: { variable: spec.name },
    });
  if (child.spawnError !== null) throw fail(`${program} cannot be started (${child.spawnError})`);
  if (child.timedOut) throw fail(`no result within ${formatDurationMs(spec.timeoutMs)}`);
  if (child.signal !== null) throw fail(`killed by ${child.signal}`);
  if (child.exitCode !== 0) throw fail(`exit code ${child.exitCode}`);
  const value = child.stdout.trim();
  // No environment can carry it.
  if (value.includes('\0')) throw fail('its output holds a NUL character');
  return value;
}

async function checkDependency(dependency: DependencySpec, vars: Readonly<Record<string, string>>, signal: AbortSignal): Promise<void> {
  const target = interpolate(dependency.kind === 'tcp' ? dependency.address : dependency.url, vars);
  const { timeoutMs } = dependency;
  const outcome = dependency.kind === 'tcp' ? await connects(target, timeoutMs, signal) : await answers(target, null, timeoutMs, signal);
  if (signal.aborted) throw toRelightError(signal.reason, 'cancelled');
  if (!outcome.ok) {
    throw new RelightError('dependency-down', `${dependency.kind} ${target}: ${outcome.message}`, { data: { dependency: target } });
  }
}
