/** Which colour means what. The words carry the meaning; colour only repeats it. */
import type pc from 'picocolors';
import type { Severity } from '@relight/shared/event';
import type { HostState, Phase } from '@relight/shared/phase';

/** Every function is the identity when colour is off. */
export type Colors = ReturnType<typeof pc.createColors>;
type Paint = (text: string) => string;
type Tone = 'good' | 'bad' | 'doubtful' | 'busy' | 'quiet';

const hostTones: Readonly<Record<HostState, Tone>> = {
  connected: 'good',
  dead: 'bad',
  suspect: 'doubtful',
  disconnected: 'doubtful',
  rebooting: 'doubtful',
  expected: 'quiet',
  unknown: 'quiet',
  stopped: 'quiet',
};

const phaseTones: Readonly<Record<Phase, Tone>> = {
  ready: 'good',
  held: 'bad',
  'back-off': 'bad',
  degraded: 'doubtful',
  unknown: 'doubtful',
  waiting: 'busy',
  pulling: 'busy',
  creating: 'busy',
  mounting: 'busy',
  'setting-up': 'busy',
  starting: 'busy',
  verifying: 'busy',
  paused: 'quiet',
  stopped: 'quiet',
};

function paintTone(color: Colors, tone: Tone): Paint {
  return { good: color.green, bad: color.red, doubtful: color.yellow, busy: color.cyan, quiet: color.dim }[tone];
}

export const paintHostState = (color: Colors, state: HostState): Paint => paintTone(color, hostTones[state]);
export const paintPhase = (color: Colors, phase: Phase): Paint => paintTone(color, phaseTones[phase]);

export function paintSeverity(color: Colors, severity: Severity): Paint {
  const critical: Paint = (text) => color.bold(color.red(text));
  return { critical, error: color.red, warning: color.yellow, info: color.dim }[severity];
}
