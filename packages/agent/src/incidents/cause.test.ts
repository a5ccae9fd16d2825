import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { catalogue } from '@relight/shared/errors';
import { eventKinds, severities } from '@relight/shared/event';
import type { TimelineEntry } from '@relight/shared/incident';
import { causeOf } from './cause.ts';

const start = 1_700_000_000_000;

function entry(
  atMs: number,
  kind: string,
  data: Record<string, unknown> = {},
  message = kind,
  severity: TimelineEntry['severity'] = 'error',
): TimelineEntry {
  return { at: start + atMs, kind, severity, message, data };
}

const died = (exitCode: number, more: object = {}, atMs = 0): TimelineEntry =>
  entry(atMs, 'container.died', { code: 'container-exited', exitCode, oomKilled: false, error: '', ...more });
const exited = (exitCode: number | null, more: object = {}, atMs = 0, message?: string): TimelineEntry =>
  entry(atMs, 'process.exited', { code: 'process-exited', level: 'process', exitCode, signal: null, ...more }, message);
const scheduled = (code: string, failure: string, atMs = 0, level = 'process', more: object = {}): TimelineEntry =>
  entry(
    atMs,
    'restart.scheduled',
    { countsAsFailure: true, code, level, failure, ...more },
    `${level} restart at once (x (y) z): ${failure}`,
    'warning',
  );
const oom = (atMs: number, more: object = {}): TimelineEntry =>
  entry(
    atMs,
    'container.oom',
    { code: 'process-oom', constraint: 'container', pid: 812, process: 'python', ...more },
    'the kernel killed it',
    'warning',
  );
const lost = (atMs: number): TimelineEntry =>
  entry(
    atMs,
    'mount.lost',
    { mount: 'data', target: '/data', code: 'mount-lost' },
    'mount data (/data): Transport endpoint is not connected',
  );
const missing = (atMs: number): TimelineEntry =>
  entry(
    atMs,
    'check.failed',
    { code: 'dependency-down', dependency: '10.0.0.1:6379' },
    'waits, without cost: tcp 10.0.0.1:6379: refused',
    'warning',
  );
const notice = (
  atMs: number,
  condition: string,
  reason: string,
  severity: TimelineEntry['severity'] = 'error',
  more: object = {},
): TimelineEntry =>
  entry(atMs, 'host.notice', { condition, subject: '', state: 'raised', advice: 'Do this.', ...more }, `${condition}: ${reason}`, severity);
/** A file system that became read-only, and whom that concerns. */
const readOnly = (concerns: unknown, atMs = -500): TimelineEntry =>
  notice(atMs, 'read-only-filesystem', '/dev/loop0 is read-only', 'critical', { concerns });

/** What happened; the code, level and words of its root cause. */
const cases: readonly (readonly [what: string, timeline: readonly TimelineEntry[], code: string, level: string, words: RegExp])[] = [
  [
    'the kernel killed the process of a container with a limit',
    [oom(-40, { limitBytes: 512 * 1024 ** 2 }), died(137, { oomKilled: true, code: 'container-oom' })],
    'process-oom',
    'container',
    /^the kernel killed python \(pid 812\) for want of memory, container limit 512\.0 MiB; exit code 137$/,
  ],
  [
    'the same, the kernel log being late',
    [died(137), scheduled('container-exited', 'x', 1), oom(2_000)],
    'process-oom',
    'container',
    /python \(pid 812\)/,
  ],
  ['a killing long afterwards explains nothing', [died(1), oom(30_000)], 'container-exited', 'container', /failed with exit code 1/],
  [
    'a process that fell with its container, which the engine says seconds later',
    [exited(null, {}, 0, 'process was killed'), died(139, {}, 4_000)],
    'container-exited',
    'container',
    /^the main process of the container crashed with SIGSEGV/,
  ],
  [
    'a process that was killed with its watcher, and a container that died of something else afterwards',
    [exited(null), entry(900, 'process.started', {}, 'process started', 'info'), died(1, {}, 4_000)],
    'process-exited',
    'process',
    /^the process was killed together with its watcher/,
  ],
  ['the engine alone knows', [died(137, { oomKilled: true })], 'process-oom', 'container', /^the kernel killed a process of the container/],
  ['the host had none left', [oom(-10, { constraint: 'host' }), exited(137)], 'process-oom', 'process', /the host had none left/],
  [
    'the daemon of a mount was killed',
    [oom(-900, { process: 'gcsfuse' }), lost(0), exited(1, {}, 300)],
    'process-oom',
    'process',
    /gcsfuse.*the mount data died with it/,
  ],
  [
    'a mount died before the process',
    [lost(0), scheduled('mount-lost', 'mount data: gone', 0), exited(3, {}, 60)],
    'mount-lost',
    'process',
    /^the mount data \(\/data\) died: Transport .*; the process ended with it$/,
  ],
  [
    'a mount that was seen dead when its process had ended already',
    [exited(3), lost(60), scheduled('mount-lost', 'mount data: gone', 60)],
    'mount-lost',
    'process',
    /^the mount data \(\/data\) died: Transport .*; the process ended with it$/,
  ],
  ['a mount that died with its container is a symptom', [died(1), lost(50)], 'container-exited', 'container', /exit code 1/],
  [
    'the dependency went down before the process',
    [exited(1), missing(300)],
    'dependency-down',
    'process',
    /^the dependency 10\.0\.0\.1:6379 does not answer; the process ended \(exit code 1\)$/,
  ],
  ['the dependency was there, and a live check says so', [missing(0)], 'dependency-down', 'process', /the workload waits for it/],
  ['a dependency that goes much later', [exited(1), missing(60_000)], 'process-exited', 'process', /failed with exit code 1/],
  [
    'the engine was restarted',
    [entry(-900, 'engine.lost', {}, 'the engine does not answer: refused'), died(255, { code: 'engine-restarted' })],
    'engine-restarted',
    'host',
    /^the container engine was restarted or crashed, and the container fell with it/,
  ],
  ['the machine was rebooted', [entry(-10, 'host.booted'), died(255, { code: 'engine-restarted' })], 'host-rebooted', 'host', /rebooted/],
  ['the container fell with the machine', [died(255, { code: 'host-rebooted' })], 'host-rebooted', 'host', /rebooted/],
  [
    'the cloud takes the machine',
    [notice(-3_000, 'preemption', 'preempted by the cloud', 'warning'), died(143)],
    'preemption',
    'host',
    /preempted/,
  ],
  [
    'what is scheduled for next week explains nothing',
    [notice(-3_000, 'maintenance-scheduled', 'next week', 'warning'), died(1)],
    'container-exited',
    'container',
    /exit code 1/,
  ],
  [
    'a GPU that was only slow when the process failed',
    [notice(-500, 'gpu-throttled', 'GPU 0 is slowed down by heat', 'warning'), exited(1)],
    'process-exited',
    'process',
    /failed with exit code 1/,
  ],
  ['a GPU fell off the bus', [notice(-500, 'gpu-xid', 'Xid 79 on GPU 3'), exited(1)], 'gpu-xid', 'host', /Xid 79/],
  [
    'a file system became read-only',
    [notice(-500, 'read-only-filesystem', '/dev/sda1 is read-only'), exited(5)],
    'read-only-filesystem',
    'host',
    /read-only/,
  ],
  ['on which the state directory lies', [readOnly('host'), exited(5)], 'read-only-filesystem', 'host', /read-only/],
  ['on which a volume of it lies', [readOnly(['other', 'w']), exited(5)], 'read-only-filesystem', 'host', /read-only/],
  ['on which only others lie', [readOnly(['other']), exited(5)], 'process-exited', 'process', /exit code 5/],
  ['which nobody has, and a mount that died', [readOnly([]), lost(0)], 'mount-lost', 'process', /^the mount data/],
  ['its own, and the container was killed all the same', [readOnly('host'), died(137)], 'container-exited', 'container', /SIGKILL/],
  ['its own, and the process was killed', [readOnly(['w']), exited(137)], 'process-exited', 'process', /SIGKILL/],
  ['its own, and the program of a mount ended', [readOnly(['w']), lost(0)], 'mount-lost', 'process', /^the mount data/],
  [
    'its own, somebody stopped the container, which took it well',
    [readOnly(['w']), entry(-5, 'observed', { hand: true }, 'somebody ended the container through the engine', 'warning'), died(0)],
    'stopped-by-hand',
    'container',
    /^somebody ended/,
  ],
  [
    'that is full, its own: the container was killed, and only its way back found no space',
    [
      died(137),
      notice(2_000, 'disk-full', '/state: 0 B of 6.0 MiB free', 'critical', { concerns: 'host' }),
      entry(4_000, 'setup.step-failed', { code: 'disk-full', failure: 'no space left on device' }),
      entry(4_000, 'workload.held', { code: 'disk-full', failure: 'no space left on device' }),
    ],
    'container-exited',
    'container',
    /SIGKILL/,
  ],
  [
    'its own, and it says so itself before it is killed',
    [readOnly(['w']), exited(137, { lastLine: "OSError: [Errno 30] Read-only file system: '/data/x'" })],
    'read-only-filesystem',
    'host',
    /loop0/,
  ],
  [
    'a boot a minute before the process failed by itself',
    [entry(-60_000, 'host.booted'), exited(1)],
    'process-exited',
    'process',
    /failed with exit code 1/,
  ],
  [
    "the engine's own restart policy started it again",
    [scheduled('container-restarted', 'x', 0, 'container', { restartPolicy: 'always', advice: 'Run: docker update' })],
    'container-restarted',
    'container',
    /^the engine's restart policy always started the container again$/,
  ],
  [
    'it was killed, and has such a policy',
    [died(137, { restartPolicy: 'always', advice: 'Run: docker update' })],
    'container-exited',
    'container',
    /SIGKILL.*; the engine's restart policy always starts it again, beside Relight$/,
  ],
  [
    'a boot, and the engine started the container again',
    [entry(-100, 'host.booted'), scheduled('container-restarted', 'somebody else started the container again', 0, 'container')],
    'host-rebooted',
    'host',
    /rebooted/,
  ],
  [
    'maintenance in minutes does not end a process by itself',
    [notice(-3_000, 'maintenance', 'in 8 m', 'warning', { leftMs: 480_000 }), exited(1)],
    'process-exited',
    'process',
    /failed with exit code 1/,
  ],
  [
    'but a machine that reboots before its time does',
    [
      notice(-30_000, 'maintenance', 'in 2 m', 'warning', { leftMs: 120_000 }),
      entry(-100, 'host.booted'),
      died(255, { code: 'host-rebooted' }),
    ],
    'maintenance',
    'host',
    /maintenance/,
  ],
  [
    'nor does it take memory',
    [notice(-3_000, 'maintenance', 'in 8 m', 'warning', { leftMs: 480_000 }), died(137, { oomKilled: true })],
    'process-oom',
    'container',
    /for want of memory/,
  ],
  [
    'maintenance whose time has come',
    [notice(-10_000, 'maintenance', 'in 9 s', 'warning', { leftMs: 9_000 }), exited(1)],
    'maintenance',
    'host',
    /maintenance/,
  ],
  [
    'a machine that stops everything before its time',
    [notice(-3_000, 'preemption', 'in 30 s', 'warning', { leftMs: 30_000 }), died(143)],
    'preemption',
    'host',
    /preemption/,
  ],
  [
    'somebody used docker kill',
    [entry(-5, 'observed', { hand: true }, 'somebody ended the container through the engine (docker kill, SIGKILL)', 'warning'), died(137)],
    'stopped-by-hand',
    'container',
    /^somebody ended the container through the engine/,
  ],
  ['somebody removed it', [entry(0, 'container.removed', { code: 'container-removed' })], 'container-removed', 'container', /docker rm/],
  ['killed from outside', [died(137)], 'container-exited', 'container', /SIGKILL from outside/],
  ['crashed', [died(139)], 'container-exited', 'container', /crashed with SIGSEGV/],
  ['ended by itself', [died(0)], 'container-exited', 'container', /ended by itself \(exit code 0\)/],
  ['its last words', [exited(7, { lastLine: 'the sky fell' })], 'process-exited', 'process', /exit code 7; its last words: the sky fell$/],
  [
    'classified',
    [
      exited(1, { code: 'version-mismatch' }, 0, 'process exited with code 1: Version mismatch'),
      entry(
        0,
        'workload.held',
        { code: 'version-mismatch', advice: 'Use one image.', level: 'process' },
        'process exited with code 1: Version mismatch. Use one image.',
      ),
    ],
    'version-mismatch',
    'process',
    /Version mismatch$/,
  ],
  [
    'held from the start',
    [entry(0, 'workload.held', { code: 'image-not-found', advice: 'Correct it.' }, 'no image x. Correct it.')],
    'image-not-found',
    'container',
    /^no image x$/,
  ],
  [
    'killed, and then held: the killing',
    [died(137), entry(900, 'workload.held', { code: 'image-not-found' }, 'no image x')],
    'container-exited',
    'container',
    /SIGKILL/,
  ],
  ['a step failed', [scheduled('setup-failed', 'setup keys: exit code 4')], 'setup-failed', 'process', /^setup keys: exit code 4$/],
  [
    'a live check failed',
    [entry(-900, 'check.failed', { check: 'health' }), scheduled('live-failed', 'live check health failed 3 times: 500')],
    'live-failed',
    'process',
    /^live check health failed 3 times: 500$/,
  ],
  [
    'the engine is gone',
    [entry(0, 'engine.lost', {}, 'the engine does not answer: ECONNREFUSED')],
    'engine-unreachable',
    'host',
    /does not answer: ECONNREFUSED/,
  ],
];

describe('the root cause, not the last symptom', () => {
  test.each(cases)('%s', (_, timeline, code, level, words) => {
    const later = [...timeline, scheduled('ready-timeout', 'not ready within 180 s', 200_000), died(1, {}, 300_000)];
    for (const told of [timeline, later]) {
      const verdict = causeOf(told, start, 'w');
      expect(verdict).toMatchObject({ code, level });
      expect(verdict.cause).toMatch(words);
    }
  });

  test('a process that ended well may only have gone into the background: that is the advice', () => {
    expect(causeOf([exited(0)], start, 'w').advice).toMatch(/keep it in the foreground/);
    expect(causeOf([exited(1)], start, 'w').advice).not.toMatch(/foreground/);
  });

  test('its code has a row in the catalogue, or is a condition of the host; then its advice is there', () => {
    const conditions = cases.flatMap(([, timeline]) => timeline.map(({ data }) => data['condition']));
    const known = new Set([...Object.keys(catalogue), ...conditions]);
    expect(cases.map(([, , code]) => code).filter((code) => !known.has(code))).toEqual([]);
    expect(cases.filter(([, timeline]) => causeOf(timeline, start, 'w').advice === '')).toEqual([]);
  });

  test('a reboot that was announced has that for its cause; one that was not, whatever is announced afterwards', () => {
    const notice = (atMs: number) =>
      entry(atMs, 'host.notice', { condition: 'maintenance', state: 'raised' }, 'maintenance: soon', 'warning');
    const booted = entry(3_000, 'host.booted', {}, 'the machine has booted', 'info');
    const fell = died(137, { code: 'host-rebooted' });
    expect(causeOf([notice(-2_000), fell, booted], start, 'w').code).toBe('maintenance');
    expect(causeOf([fell, booted, notice(4_000)], start, 'w').code).toBe('host-rebooted');
  });

  test('no space: the advice of the hold, which knows where, before the general one', () => {
    const first = exited(1, { code: 'disk-full', failure: "dd: '/opt/bucket/x': No space left on device" });
    expect(causeOf([first], start, 'w')).toMatchObject({ code: 'disk-full', advice: catalogue['disk-full'].advice });
    const held = entry(5, 'workload.held', { code: 'disk-full', advice: 'Give /staging more space.' });
    expect(causeOf([first, held], start, 'w')).toMatchObject({
      code: 'disk-full',
      cause: expect.stringContaining('/opt/bucket/x') as string,
      advice: 'Give /staging more space.',
    });
  });

  test('out of anything a sentence comes, of one line', () => {
    const any = fc.record({
      at: fc.integer({ min: start, max: start + 100_000 }),
      kind: fc.constantFrom(...eventKinds, 'observed'),
      severity: fc.constantFrom(...severities),
      message: fc.string(),
      data: fc.dictionary(
        fc.constantFrom('code', 'exitCode', 'signal', 'pid', 'process', 'hand', 'level', 'mount', 'condition', 'state', 'failure'),
        fc.jsonValue(),
      ),
    });
    fc.assert(
      fc.property(fc.array(any, { maxLength: 12 }), (timeline) => {
        const { cause, level } = causeOf(
          timeline.toSorted((a, b) => a.at - b.at),
          start + 50_000,
          'w',
        );
        expect(typeof cause).toBe('string');
        expect(['process', 'container', 'host']).toContain(level);
      }),
    );
  });
});
