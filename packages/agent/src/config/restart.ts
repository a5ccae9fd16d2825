/** `restart` of a workload. */
import { defaults } from './defaults.ts';
import { parseDurationMs } from '@relight/shared/units';
import { list, object, type Reader } from './fields.ts';
import { describe } from './located.ts';
import { fail } from './problems.ts';
import { choice, duration, integer, number, perWindow } from './scalars.ts';
import type { RestartPolicy, WorkloadSpec } from './spec.ts';

export const restart: Reader<WorkloadSpec['restart']> = object((fields) => {
  const process = fields.optional('process', policy(defaults.restart.process, integer(1)), defaults.restart.process);
  const container = fields.optional('container', policy(defaults.restart.container, noLevelAbove), defaults.restart.container);
  return () => ({ process, container });
});

const noLevelAbove: Reader<number> = (node) =>
  fail(node, 'the level above the container, the host, is not supported yet (not-supported-yet); remove it');

const presetNames = Object.keys(defaults.restartPresets) as (keyof typeof defaults.restartPresets)[];

const delays: Reader<readonly number[]> = (node) => {
  const values = list(duration(0))(node);
  return values.length > 0 ? values : fail(node, 'must name at least one delay');
};

/** `5m after 3`. */
const cooldownReader: Reader<NonNullable<RestartPolicy['cooldown']>> = (node) => {
  const match = node.kind === 'scalar' ? /^(\S+)\s+after\s+(\d+)$/.exec(node.source.trim()) : null;
  const ms = parseDurationMs(match?.[1] ?? '');
  const after = Number(match?.[2]);
  if (ms === undefined || ms <= 0 || !Number.isSafeInteger(after) || after < 2) {
    return fail(node, `must be a duration after a number of failures such as "5m after 3", not ${describe(node)}`);
  }
  return { after, ms };
};

function policy(fallback: RestartPolicy, escalation: Reader<number>): Reader<RestartPolicy> {
  return object((fields) => {
    const preset = fields.optional('preset', choice(...presetNames), undefined);
    const base: RestartPolicy = { ...fallback, ...(preset === undefined ? {} : defaults.restartPresets[preset]) };
    const delaysMs = fields.optional('delays', delays, undefined);
    const cooldown = fields.optional('cooldown', cooldownReader, base.cooldown);
    // The other way to say how delays grow wins over the preset's.
    const formula = fields.has('initial') || fields.has('factor');
    const given = delaysMs ?? (formula ? undefined : base.delaysMs);
    const value: RestartPolicy = {
      initialMs: fields.optional('initial', duration(0), base.initialMs),
      maxMs: fields.optional('max', duration(), Math.max(base.maxMs, ...(delaysMs ?? []))),
      factor: fields.optional('factor', number(1, 1_000), base.factor),
      ...(given === undefined ? {} : { delaysMs: given }),
      ...(cooldown === undefined ? {} : { cooldown }),
      jitter: fields.optional('jitter', number(0, 1), base.jitter),
      resetAfterMs: fields.optional('reset_after', duration(), base.resetAfterMs),
      budget: fields.optional('budget', perWindow, base.budget),
      escalateAfter: fields.nullable('escalate_after', escalation, base.escalateAfter),
    };
    return () => {
      if (delaysMs !== undefined && formula) fields.fail('delays', 'excludes initial and factor: it says every delay itself');
      if (delaysMs?.some((ms) => ms > value.maxMs) === true) fields.fail('max', 'must not be below any of delays');
      return value.maxMs < value.initialMs ? fields.fail('max', 'must not be below initial') : value;
    };
  });
}
