/** A host's gate for people: one row while it is open, one a condition while it waits. */
import type { HostGateStatus } from './status.ts';
import { formatDurationMs } from './units.ts';

/** Name and text of each row. Times of `gate` and `now` in epoch milliseconds. */
export function gateText(gate: HostGateStatus, now: number): readonly (readonly [name: string, text: string])[] {
  const elapsed = formatDurationMs(Math.max(0, now - gate.since));
  const without = gate.conditions.filter(({ waived, ok }) => waived === true && !ok).map(({ message }) => message);
  if (gate.state === 'open') return [['gate', `open for ${elapsed}${without.length === 0 ? '' : `, although ${without.join('; ')}`}`]];
  const deadline = gate.deadlineAt === null ? '' : `, at most ${formatDurationMs(Math.max(0, gate.deadlineAt - now))} more`;
  return [
    ['gate', `waiting for ${elapsed}${deadline}: ${gate.reason}`],
    ...gate.conditions.map(
      ({ name, ok, message, waived }) => [`  ${name}`, `${ok ? 'ok' : waived === true ? 'waived' : 'WAITS'}: ${message}`] as const,
    ),
  ];
}
