/** `restart` of a workload. */
import { defaults } from './defaults.ts';
import { object, type Reader } from './fields.ts';
import { fail } from './problems.ts';
import { duration, integer, number, perWindow } from './scalars.ts';
import type { RestartPolicy, WorkloadSpec } from './spec.ts';

export const restart: Reader<WorkloadSpec['restart']> = object((fields) => {
  const process = fields.optional('process', policy(defaults.restart.process, integer(1)), defaults.restart.process);
  const container = fields.optional('container', policy(defaults.restart.container, noLevelAbove), defaults.restart.container);
  return () => ({ process, container });
});

const noLevelAbove: Reader<number> = (node) =>
  fail(node, 'the level above the container, the host, is not supported yet (not-supported-yet); remove it');

function policy(fallback: RestartPolicy, escalation: Reader<number>): Reader<RestartPolicy> {
  return object((fields) => {
    const value: RestartPolicy = {
      initialMs: fields.optional('initial', duration(0), fallback.initialMs),
      maxMs: fields.optional('max', duration(), fallback.maxMs),
      factor: fields.optional('factor', number(1, 1_000), fallback.factor),
      jitter: fields.optional('jitter', number(0, 1), fallback.jitter),
      resetAfterMs: fields.optional('reset_after', duration(), fallback.resetAfterMs),
      budget: fields.optional('budget', perWindow, fallback.budget),
      escalateAfter: fields.nullable('escalate_after', escalation, fallback.escalateAfter),
    };
    return () => (value.maxMs < value.initialMs ? fields.fail('max', 'must not be below initial') : value);
  });
}
