import pc from 'picocolors';
import { describe, expect, test } from 'vitest';
import type { ApiIncident } from '@relight/shared/api';
import { incidentResource } from '@relight/shared/incident-resource';
import { evidenceText } from '@relight/shared/incident-view';
import { exampleIncident, incidentStart } from '../../../../../test/support/incidents.ts';
import { incidentsText, incidentText } from './incident-view.ts';
import { sanitize } from './sanitize.ts';

const context = { color: pc.createColors(false), columns: null, now: incidentStart + 180_000 };
const example = (over: Parameters<typeof exampleIncident>[0] = {}, texts: Record<string, string> = {}): ApiIncident =>
  incidentResource('tpu-0', exampleIncident(over), new Map(Object.entries(texts)));
const shown = (incident: ApiIncident, full = false): string => incidentText(incident, context, full);

const logLines = Array.from({ length: 40 }, (_, index) => `log line ${index}`).join('\n');
const kernel = [
  '2026-01-31T11:50:00.000Z  Out of memory: Killed process 1 (another)',
  '2026-01-31T11:59:59.400Z  Memory cgroup out of memory: Killed process 812 (python3)',
  '2026-01-31T11:59:59.900Z  eth0: link up',
].join('\n');
const evidence = [
  { name: 'gpus', title: 'nvidia-smi', at: 1, bytes: 0, error: 'no NVIDIA driver is loaded on this host' },
  { name: 'kernel', title: 'the kernel log', at: 1, bytes: kernel.length, truncatedBytes: 900 },
  { name: 'log:process', title: 'last lines of process', at: 1, bytes: logLines.length },
];

describe('one incident, for somebody who knows nothing else', () => {
  test('the cause comes before everything but its name; then what was done, and what is left to do', () => {
    const lines = shown(example()).split('\n');
    expect(lines[0]).toBe('tpu-0/ray  incident 20260131-120000-x7k2m9  over after 1.7 s');
    expect(lines[2]).toBe(`CAUSE    ${exampleIncident().cause}`);
    expect(lines.slice(3, 8)).toEqual([
      'level    container, process-oom, exit code 137',
      'times    failed 2026-01-31T11:59:59.500Z, noticed after 500 ms, ready again after 1.7 s',
      'Relight  1 × container restart',
      'stages   create the container 300 ms',
      'you      Raise the memory limit.',
    ]);
  });

  test('what is open now: the cause is not told twice, and what to do is about what it waits for now', () => {
    const cause = 'the image a could not be pulled: its registry refuses connections';
    const phase = (to: string, message: string) =>
      ({ at: incidentStart, kind: 'workload.phase-changed', severity: 'info', message, data: { to } }) as const;
    const open = { closedAt: null, cause, advice: 'Look at the network.' };
    const waiting = shown(example({ ...open, timeline: [phase('back-off', `back-off: ${cause}`)] }));
    expect(waiting).toMatch(/^now {6}back-off, because of that$/m);
    expect(waiting).toMatch(/^you {6}Look at the network\.$/m);
    const held = {
      at: incidentStart,
      kind: 'workload.held',
      severity: 'error',
      message: 'no such image',
      data: { advice: 'Correct the name.' },
    } as const;
    const changed = example({ ...open, timeline: [phase('back-off', `back-off: ${cause}`), held, phase('held', 'held: no such image')] });
    expect(shown(changed)).toMatch(/^now {6}held: no such image$/m);
    expect(shown(changed)).toMatch(/^you {6}Correct the name\.$/m);
    expect(shown({ ...changed, closedAt: changed.openedAt })).toMatch(/^you {6}Look at the network\.$/m);
  });

  test('what the kernel said about another container is no clue', () => {
    const foreign = kernel.replace('Memory cgroup', '(another container) Memory cgroup');
    expect(shown(example({ evidence }, { kernel: foreign }))).not.toContain('Killed process 812');
    expect(shown(example({ evidence }, { kernel: foreign }), true)).toContain('(another container) Memory cgroup');
  });

  test('the timeline counts from the failure; changes of phase that say nothing new are left out', () => {
    const text = shown(example());
    expect(text).toMatch(/^ {6}\+0\.000 {2}container\.oom {3}the kernel killed python3 \(pid 812\)$/m);
    expect(text).toMatch(/^ {6}\+1\.700 {2}workload\.ready {2}ready after 1\.2 s$/m);
    expect(text).not.toContain('phase-changed');
    expect(shown(example({ omitted: 44 }))).toContain('44 more of the same kind');
  });

  test('evidence: the last lines of the process, what the kernel said around it, and why a piece is missing', () => {
    const text = shown(example({ evidence }, { kernel, 'log:process': logLines }));
    expect(text).toContain('log line 39');
    expect(text).not.toContain('log line 30');
    expect(text).toContain('Killed process 812');
    expect(text).not.toContain('another');
    expect(text).not.toContain('link up');
    expect(text).toContain('gpus  nvidia-smi: no NVIDIA driver is loaded on this host');
    expect(text.indexOf('log:process')).toBeLessThan(text.indexOf('the kernel log'));
    const full = shown(example({ evidence }, { kernel, 'log:process': logLines }), true);
    expect(full).toContain('log line 0');
    expect(full).toContain('link up');
    expect(evidenceText(example({ evidence }, { kernel }), 'kernel', sanitize)).toHaveLength(3);
    expect(evidenceText(example({ evidence }), 'gpus', sanitize)).toEqual(['no NVIDIA driver is loaded on this host']);
    expect(evidenceText(example(), 'nothing', sanitize)).toBeUndefined();
  });

  test('an open one says since when, what it waits for, and what a person must do', () => {
    const held = { at: incidentStart, kind: 'workload.held', severity: 'error' as const, message: 'no image x. Correct it.', data: {} };
    const text = shown(
      example({ closedAt: null, timeToRecoverMs: null, timeline: [held], attempts: { process: 0, container: 0, host: 0 }, stages: [] }),
    );
    expect(text).toContain('OPEN for 3 m 00 s');
    expect(text).toContain('now      no image x. Correct it.');
    expect(text).toContain('not ready yet');
    expect(text).toContain('Relight  nothing yet');
  });

  test('what others wrote never drives the terminal', () => {
    const evil = 'a\u001b]0;title\u0007\u001b[2Jb\u202e';
    const timeline = [{ at: incidentStart, kind: evil, severity: 'error' as const, message: evil, data: {} }];
    const item = { name: evil, title: evil, at: 1, bytes: 9 };
    const incident = example(
      { cause: evil, advice: evil, workload: evil, code: evil, signal: evil, timeline, evidence: [item], stages: [{ stage: evil, ms: 1 }] },
      { [evil]: `${evil}\n${evil}` },
    );
    const shownAll = [shown(incident, true), incidentsText([incident], context)].join('').replaceAll('\n', '');
    expect(shownAll).not.toMatch(/\p{Cc}|\u202e/u);
  });
});

test('the list: one line each, the cause last; below an open one what is left to do', () => {
  const open = example({ id: '20260131-130000-aaaaaa', closedAt: null, timeToRecoverMs: null, workload: null });
  expect(incidentsText([open, example()], context).split('\n')).toEqual([
    'ID                      SUBJECT    OPENED        LASTED  LEVEL      CAUSE',
    `20260131-130000-aaaaaa  tpu-0      3 m 00 s ago  open    container  ${exampleIncident().cause}`,
    '  → Raise the memory limit.',
    `20260131-120000-x7k2m9  tpu-0/ray  3 m 00 s ago  1.7 s   container  ${exampleIncident().cause}`,
    '',
  ]);
  expect(incidentsText([], context)).toBe('no incidents\n');
});

test('of one that began as one thing and is another now the list says of how many it tells the first, and the latest advice, in 80 columns', () => {
  const entry = (kind: string, code: string, more: object = {}) =>
    ({ at: incidentStart, kind, severity: 'warning', message: code, data: { code, ...more } }) as const;
  const timeline = [
    entry('restart.scheduled', 'container-exited'),
    entry('restart.scheduled', 'image-pull-failed'),
    entry('restart.scheduled', 'image-pull-failed'),
    entry('workload.held', 'image-not-found', {
      advice: 'Correct the image name, or build or load the image on this host, wherever it is.',
    }),
  ];
  const open = example({ closedAt: null, timeToRecoverMs: null, timeline });
  const lines = incidentsText([open, example({ timeline })], { ...context, columns: 80 }).split('\n');
  // All of the cause and of the advice, below the row in which there is no room for them.
  const cause = ['    first of 3: the kernel killed python3 (pid 812) for want of memory,', '    container limit 512.0 MiB; exit code 137'];
  expect(lines).toEqual([
    'ID                      SUBJECT    OPENED        LASTED  LEVEL      CAUSE',
    '20260131-120000-x7k2m9  tpu-0/ray  3 m 00 s ago  open    container',
    ...cause,
    '  → Correct the image name, or build or load the image on this host, wherever it',
    '  is.',
    '20260131-120000-x7k2m9  tpu-0/ray  3 m 00 s ago  1.7 s   container',
    ...cause,
    '',
  ]);
  expect(lines.every(({ length }) => length <= 80)).toBe(true);
});

test('an end that nobody saw: it lasted until its last entry at least', () => {
  const cutOff = example({ closedAt: incidentStart + 60_000, timeToRecoverMs: null });
  expect(incidentsText([cutOff], context)).toContain('  >= 1.7 s  ');
  const lines = shown(cutOff).split('\n');
  expect(lines[0]).toMatch(/over after >= 1\.7 s$/);
  expect(lines[4]).toMatch(/, nobody saw its end$/);
  expect(incidentsText([example({ closedAt: incidentStart, timeToRecoverMs: null, timeline: [] })], context)).toContain('  >= 0 ms  ');
});
