/** Every message that a collector may send, as it should be, and then otherwise. */
import type { Hello } from '@relight/shared/protocol';
import { mutated, mutatedText, nastyValue, toText, type Json } from './mutate.ts';
import type { Randomness } from './randomness.ts';

const segmentOf = (random: Randomness, known: Hello['segments']): Json => {
  const named = known.filter((segment) => segment !== null);
  if (named.length > 0 && random.chance(0.7)) return { ...random.pick(named) };
  return { workload: 'worker', generation: 1, source: random.pick(['process', 'container']), run: random.pick(['1', 'c', 'x']) };
};

const watch = (random: Randomness): Json =>
  random.pick<Json>([[], [{}], [{ workload: 'worker' }], [{ workload: 'worker', source: 'process' }]]);

export const welcome = (random: Randomness, hello: Pick<Hello, 'segments'>): Json => ({
  type: 'welcome',
  protocol: 1,
  sessionId: 'session',
  heartbeatMs: random.pick([10_000, 10_000, 1_000, 60_000]),
  fleetSize: 1 + random.int(1_000),
  lastEventSeq: random.int(3),
  segments: hello.segments
    .filter(() => random.chance(0.8))
    .map((segment) => ({ segment: segment === null ? null : { ...segment }, offset: random.int(40) })),
  watch: watch(random),
  incidents: random.chance(0.8),
});

const ack = (random: Randomness, hello: Pick<Hello, 'segments' | 'epoch'>): Json => ({
  type: 'ack',
  ...(random.chance(0.5) ? { events: { epoch: hello.epoch, seq: random.int(6) } } : {}),
  ...(random.chance(0.2) ? { fleetSize: 1 + random.int(9) } : {}),
  segments: Array.from({ length: random.int(3) }, () => ({
    segment: segmentOf(random, hello.segments),
    offset: random.int(100),
    rewind: random.chance(0.3),
  })),
  ...(random.chance(0.2)
    ? {
        incident: random.pick<Json>([
          { id: '20260131-120000-x7k2m9', revision: 1 },
          { id: '20260131-120000-x7k2m9', evidence: 'inspect' },
        ]),
      }
    : {}),
});

let actions = 0;
const action = (random: Randomness): Json => {
  const what = random.pick(['restart', 'pause', 'resume']);
  return {
    type: 'action',
    id: random.chance(0.9) ? `action-${(actions += 1)}` : 'action-1',
    action: what,
    ...(random.chance(0.5) ? { workload: random.pick(['worker', 'nobody']) } : {}),
    ...(what === 'restart' && random.chance(0.5) ? { level: random.pick(['process', 'container']) } : {}),
    ...(what === 'pause' && random.chance(0.7) ? { forMs: random.pick([1, 1_000, 3_600_000]) } : {}),
    reason: 'a reason',
  };
};

const clock = (random: Randomness): Json => ({
  type: 'clock',
  skewMs: random.pick([0, -0, 3_200, -86_400_000, 2 ** 53, -(2 ** 53), 1e300, 0.5, null, '1', 'NaN', {}, []]),
});

const messages = [
  ack,
  ack,
  action,
  (random: Randomness): Json => ({ type: 'watch', watch: watch(random) }),
  (random: Randomness): Json => ({ type: 'drain', reconnectAfterMs: random.int(100) }),
  welcome,
  clock,
] as const;

/** `gentle`: what ends no connection of an agent that keeps to the protocol. */
export function collectorText(random: Randomness, hello: Pick<Hello, 'segments' | 'epoch'>, gentle: boolean): string {
  const message = gentle ? random.pick([ack, action, messages[3], clock])(random, hello) : random.pick(messages)(random, hello);
  if (gentle && random.chance(0.2)) return toText({ type: 'of-a-later-version', ...(mutated(random, {}) as object) });
  const said = gentle || random.chance(0.4) ? message : random.chance(0.97) ? mutated(random, message) : nastyValue(random);
  return !gentle && random.chance(0.05) ? mutatedText(random, toText(said)) : toText(said);
}
