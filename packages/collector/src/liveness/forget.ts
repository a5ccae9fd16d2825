/** Which hosts are gone for good, by the rules of the configuration. Pure. */
import { matchesSelector } from '@relight/shared/selector';
import type { ForgetRule } from '../config.ts';
import type { HostRecord } from '../store/store.ts';

/** Null: it stays. A host that is expected, or of which nothing is known yet, is not gone. */
export function forgottenBy(
  host: Pick<HostRecord, 'state' | 'stateSince' | 'labels'>,
  rules: readonly ForgetRule[],
  now: number,
): ForgetRule | null {
  if (host.state !== 'dead' && host.state !== 'stopped') return null;
  const rule = rules.find(({ label }) => matchesSelector(label, host.labels));
  return rule !== undefined && now - host.stateSince >= rule.afterMs ? rule : null;
}
