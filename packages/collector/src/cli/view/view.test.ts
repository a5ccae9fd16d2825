import { displayWidth } from '@relight/shared/text-columns';
import pc from 'picocolors';
import { expect, test } from 'vitest';
import { apiHost, apiLine, apiWorkload } from '../samples.test-data.ts';
import { hostText } from './host-view.ts';
import { logView } from './log-view.ts';
import { sanitize } from './sanitize.ts';
import { sortPicture, statusText } from './status-view.ts';
import { cut, table } from './table.ts';
import { clockTime } from './time-text.ts';

const now = Date.parse('2026-01-31T12:01:05.000Z');
const plain = { color: pc.createColors(false), columns: null, now };

test('status: workloads of a host that nobody hears are not counted as ready', () => {
  const ray = apiWorkload({ host: 'b', watched: false });
  const text = statusText(
    { hosts: [apiHost({ name: 'b', state: 'stopped' })], workloads: [apiWorkload({ watched: true }), ray], alerts: [] },
    plain,
  );
  expect(text).toMatch(/^1 host: 1 stopped · 2 workloads: 1 ready, 1 not watched \(last known: 1 ready\)\n/);
  expect(text).toMatch(/^b\/ray +not watched, was ready /m);
  expect(hostText(apiHost({ name: 'b', state: 'stopped', workloads: [ray] }), [], plain)).toMatch(
    /^ +watched +no: this is what was last known$/m,
  );
});

test('status: worst first, with stage, attempt, restarts and reasons', () => {
  const text = statusText(
    {
      hosts: [
        apiHost({ name: 'tpu-10' }),
        apiHost({ name: 'tpu-9' }),
        apiHost({ name: 'tpu-1', state: 'dead', reason: 'silent for 60 s' }),
      ],
      workloads: [
        apiWorkload(),
        apiWorkload({
          name: 'b',
          phase: 'back-off',
          attempt: 4,
          nextAttemptAt: '2026-01-31T12:01:08.000Z',
          restarts: { process: 7, container: 2, host: 0 },
          reason: 'process exited with 1',
        }),
        apiWorkload({ name: 'c', phase: 'setting-up', stage: 'setup 2/5: keys', stageSince: '2026-01-31T12:01:01.800Z' }),
      ],
      alerts: [],
    },
    plain,
  );
  expect(text).toBe(
    [
      '3 hosts: 1 dead, 2 connected · 3 workloads: 1 back-off, 1 setting-up, 1 ready',
      '',
      'HOST    STATE      SINCE     LOAD  MEM  REASON',
      'tpu-1   dead       1 m 05 s  -     -    silent for 60 s',
      'tpu-9   connected  1 m 05 s  -     -    heartbeats arrive',
      'tpu-10  connected  1 m 05 s  -     -    heartbeats arrive',
      '',
      'WORKLOAD   PHASE       SINCE     STAGE                    ATTEMPT           RESTARTS                REASON',
      'tpu-0/b    back-off    1 m 05 s  -                        4, next in 3.0 s  7 process, 2 container  process exited with 1',
      'tpu-0/c    setting-up  1 m 05 s  setup 2/5: keys (3.2 s)  1                 -                       all checks pass',
      'tpu-0/ray  ready       1 m 05 s  -                        1                 -                       all checks pass',
      '',
    ].join('\n'),
  );
});

test('status: a connected host with something wrong shows it, before those without', () => {
  const since = '2026-01-31T12:00:05.000Z';
  const low = { name: 'disk-low', subject: '/', severity: 'warning', since, reason: '3 % free\u001b', advice: 'Free space.' } as const;
  const text = statusText(
    {
      hosts: [
        apiHost({ name: 'a' }),
        apiHost({ name: 'b', conditions: [low, { ...low, subject: '/data' }] }),
        apiHost({ name: 'c', conditions: [{ ...low, severity: 'critical', name: 'gpu-xid', subject: '' }] }),
        apiHost({ name: 'd', conditions: [{ ...low, severity: 'info' }] }),
        apiHost({ name: 'e', conditions: [low], engine: { state: 'down', since } }),
      ],
      workloads: [],
      alerts: [],
    },
    plain,
  );
  expect(text.split('\n')).toEqual([
    '5 hosts: 5 connected · 3 hosts with conditions',
    '',
    'HOST  STATE      SINCE     LOAD  MEM  REASON',
    'e     connected  1 m 05 s  -     -    the container engine has not answered for 1 m 00 s: systemctl status docker',
    'c     connected  1 m 05 s  -     -    gpu-xid: 3 % free\\x1b',
    'b     connected  1 m 05 s  -     -    disk-low /: 3 % free\\x1b (and 1 more)',
    'a     connected  1 m 05 s  -     -    heartbeats arrive',
    'd     connected  1 m 05 s  -     -    heartbeats arrive',
    '',
  ]);
  expect(hostText(apiHost({ conditions: [low] }), [], plain)).toContain(
    'conditions\n  warning  disk-low / for 1 m 00 s: 3 % free\\x1b\n    Free space.\n',
  );
});

test('the picture is sorted the same for programs', () => {
  const sorted = sortPicture({ hosts: [], alerts: [], workloads: [apiWorkload(), apiWorkload({ name: 'x', phase: 'held' })] });
  expect(sorted.workloads.map(({ name }) => name)).toEqual(['x', 'ray']);
});

test('host: everything known, nothing that is not', () => {
  const text = hostText(apiHost({ labels: { pool: 'v5e' }, clockSkewMs: -1500 }), [], plain);
  expect(text).toContain('state      connected for 1 m 05 s');
  expect(text).toContain('clock      1.5 s behind the collector');
  expect(text).toContain('phase       ready for 1 m 05 s');
  expect(text).not.toContain('memory');
  expect(text).not.toContain('machine');
});

test('host: what machine it is', () => {
  const facts = {
    manufacturer: 'Google',
    model: 'Google Compute Engine',
    virtualization: 'KVM',
    cpuModel: 'AMD EPYC 7B13',
    physicalCores: 56,
    cpuCores: 112,
    gpus: ['NVIDIA L4', 'NVIDIA L4', 'Matrox\u001b[2J G200'],
    os: 'Debian GNU/Linux 12 (bookworm)',
    kernel: '6.1.0',
    engineVersion: '27.3.1',
    engineApiVersion: '1.47',
  };
  const text = hostText(apiHost({ facts }), [], plain);
  expect(text).toContain('  machine    Google Google Compute Engine (virtual: KVM)\n');
  expect(text).toContain('  processor  AMD EPYC 7B13, 56 cores, 112 threads\n');
  expect(text).toContain('  gpus       2 × NVIDIA L4, Matrox');
  expect(text).not.toContain('\u001b');
  expect(text).toContain('  system     Debian GNU/Linux 12 (bookworm), 6.1.0\n');
  expect(text).toContain('  engine     27.3.1, API 1.47\n');
  const down = hostText(apiHost({ facts, engine: { state: 'down', since: '2026-01-31T12:00:05.000Z' } }), [], plain);
  expect(down).toContain('  engine     27.3.1, API 1.47, the container engine has not answered for 1 m 00 s: systemctl status docker\n');
});

test('log lines: aligned prefixes, gaps, and where something began anew', () => {
  const view = logView({ color: plain.color, timestamps: false, raw: false, now: () => now });
  const { host, workload, generation, source, run, receivedAt } = apiLine(0);
  const text = [
    apiLine(0),
    apiLine(0, { host: 'tpu-11', workload: 'ray-head', source: 'container', line: 'other' }),
    { host, workload, generation, source, run, receivedAt, gap: { from: 10, to: 1244, reason: 'rotated' } },
    apiLine(1244, { truncated: true }),
    apiLine(0, { run: '2' }),
    apiLine(0, { generation: 4, run: '1', source: 'setup' }),
    apiLine(0, { generation: 4, run: '3' }),
  ]
    .map(view)
    .join('');
  expect(text.split('\n')).toEqual([
    'tpu-0/ray process | line at 0',
    'tpu-11/ray-head container | other',
    'tpu-0/ray process         | --- gap: 1234 bytes (rotated) ---',
    'tpu-0/ray process         | line at 1244 [cut]',
    '--- tpu-0/ray process: started again ---',
    'tpu-0/ray process         | line at 0',
    '--- tpu-0/ray: container generation 4 ---',
    'tpu-0/ray setup           | line at 0',
    'tpu-0/ray process         | line at 0',
    '',
  ]);
});

test('colours belong to the stream and stay', () => {
  const color = pc.createColors(true);
  const line = (host: string): string => logView({ color, timestamps: false, raw: false, now: () => now })(apiLine(0, { host }));
  expect(line('tpu-0')).toBe(line('tpu-0'));
  expect(line('tpu-0')).toContain('mtpu-0/ray process\u001b[39m');
  expect(new Set(Array.from({ length: 20 }, (_, i) => line(`h${i}`).slice(0, 5))).size).toBeGreaterThan(3);
});

test('control characters of others are shown, never obeyed; only colours are dropped', () => {
  expect(sanitize('\u001b[31mred\u001b[0m tab\there')).toBe('red tab\there');
  expect(sanitize('\u001b]0;title\u0007\u001b[2J')).toBe(String.raw`\x1b]0;title\x07\x1b[2J`);
  expect(sanitize('10 %\r20 %\r')).toBe(String.raw`10 %\r20 %`);
  expect(sanitize('a\u202eb\u009bc')).toBe(String.raw`a\u202eb\x9bc`);
  const raw = logView({ color: plain.color, timestamps: false, raw: true, now: () => now })(apiLine(0, { line: '\u001b[31mx' }));
  expect(raw).toContain('\u001b[31mx');
});

test('an entry that is one of several says which', () => {
  const shown = logView({ color: plain.color, timestamps: false, raw: false, now: () => now });
  expect(shown(apiLine(0, { line: 'a\n  b', lines: 2, part: 'first' }))).toMatch(/b \[first part of a long entry\]\n$/);
  expect(shown(apiLine(0, { line: 'c' }))).toMatch(/c\n$/);
});

test('tables fit the terminal, whatever the characters', () => {
  expect(displayWidth('日本é👍')).toBe(7);
  expect(cut('日本語', 5)).toBe('日本…');
  const lines = table({
    headers: ['A', 'B'],
    rows: [
      [{ text: '日本' }, { text: 'a very long reason indeed' }],
      [{ text: 'x' }, { text: 'y' }],
    ],
    paintHeader: String,
    columns: 20,
  });
  expect(lines).toEqual(['A     B', '日本  a very long r…', 'x     y']);
});

test('on a narrow terminal the reason of what is not well stands below its row, all of it; of what is well a beginning does', () => {
  const narrow = { ...plain, columns: 80 };
  const reason = 'the readiness check http http://127.0.0.1:8080/healthz has not passed within 3 m 00 s: connection refused';
  const workloads = [
    apiWorkload({ name: 'bad', phase: 'back-off', attempt: 9, reason }),
    apiWorkload({ name: 'good', phase: 'ready', reason: 'every readiness check has passed, and that is a long story' }),
  ];
  const hosts = [apiHost({ name: 'gone', state: 'dead', reason }), apiHost({ name: 'here', reason })];
  const lines = statusText({ hosts, workloads, alerts: [] }, narrow).split('\n');
  for (const line of lines.slice(1)) expect(displayWidth(line)).toBeLessThanOrEqual(80);
  const below = (row: RegExp): string => {
    const from = lines.findIndex((line) => row.test(line)) + 1;
    const rest = lines.slice(from);
    return rest
      .slice(
        0,
        rest.findIndex((line) => !line.startsWith('    ')),
      )
      .map((line) => line.trim())
      .join(' ');
  };
  expect(below(/^gone +dead/)).toBe(reason);
  expect(below(/bad +back-off/)).toBe(reason);
  expect(below(/^here +connected.*…$/)).toBe('');
  expect(below(/good +ready.*…$/)).toBe('');
  // Where there is room it stays in its row.
  expect(statusText({ hosts, workloads, alerts: [] }, { ...plain, columns: 240 })).not.toMatch(/^ {4}/m);
});

test('times are short today and complete otherwise', () => {
  const iso = (date: Date): string => date.toISOString();
  const today = new Date(2026, 0, 31, 9, 5, 7, 42);
  expect(clockTime(iso(today), new Date(2026, 0, 31, 23).getTime())).toBe('09:05:07.042');
  expect(clockTime(iso(today), new Date(2026, 1, 1).getTime())).toBe('2026-01-31 09:05:07.042');
});

const noGaps = { count: 0, lines: 0, bytes: 0, lastAt: null, lastReason: null };

test('status: how far behind each host is, how full its outbox, what is missing, how wrong its clock', () => {
  const hosts = [
    apiHost({ name: 'a', delivery: { lagMs: 0, outbox: { bytes: 1, bytesMax: 100, share: 0.01 }, gaps: noGaps }, clockSkewMs: 12 }),
    apiHost({
      name: 'b',
      state: 'dead',
      clockSkewMs: 9_000,
      delivery: { lagMs: 72_000, outbox: { bytes: 90, bytesMax: 100, share: 0.9 }, gaps: { ...noGaps, count: 2, lines: 40 } },
    }),
    apiHost({ name: 'c', clockSkewMs: -2_500, delivery: { lagMs: null, outbox: null, gaps: noGaps } }),
    apiHost({ name: 'd' }),
  ];
  const lines = statusText({ hosts, workloads: [], alerts: [] }, plain).split('\n');
  expect(lines.slice(2, 7)).toEqual([
    'HOST  STATE      SINCE     LOAD  MEM  LAG       OUTBOX  GAPS          SKEW    REASON',
    'b     dead       1 m 05 s  -     -    1 m 12 s  90 %    2 (40 lines)  -       heartbeats arrive',
    'a     connected  1 m 05 s  -     -    0 ms      1 %     -             -       heartbeats arrive',
    'c     connected  1 m 05 s  -     -    -         -       -             -2.5 s  heartbeats arrive',
    'd     connected  1 m 05 s  -     -    -         -       -             -       heartbeats arrive',
  ]);
});

test('status: what is caught up with is no warning, and says how long it will take', () => {
  const delivery = {
    lagMs: 730_000,
    catchingUp: { bytesPerSecond: 2 ** 20, leftMs: 65_000 },
    outbox: { bytes: 1, bytesMax: 100, share: 0.01 },
    gaps: noGaps,
  };
  const yellow = { ...plain, color: { ...plain.color, yellow: (text: unknown) => `<${String(text)}>` } };
  const row = (of: typeof delivery | Omit<typeof delivery, 'catchingUp'>): string | undefined =>
    statusText({ hosts: [apiHost({ name: 'a', delivery: of })], workloads: [], alerts: [] }, yellow).split('\n')[3];
  expect(row(delivery)).toMatch(/ {2}12 m 10 s, catching up {2}1 %/);
  const { catchingUp: _, ...stuck } = delivery;
  expect(row(stuck)).toMatch(/ {2}<12 m 10 s> {2}1 %/);
  expect(hostText(apiHost({ delivery }), [], plain)).toMatch(
    /^ {2}lag +12 m 10 s, catching up: 1\.0 MiB of logs a second, about 1 m 05 s left$/m,
  );
});

test('status: a host that is away because its agent was turned away says so, whatever else is wrong with it', () => {
  const condition = { subject: '', severity: 'warning', since: '2026-01-31T12:00:05.000Z', advice: 'Upgrade.' } as const;
  const low = { ...condition, name: 'disk-low', severity: 'critical', reason: '1 % free' } as const;
  const refused = { ...condition, name: 'agent-refused', reason: 'the agent speaks protocol 1, the collector 3: upgrade the agent' };
  const away = apiHost({ name: 'a', state: 'dead', reason: 'silent for 61 s', conditions: [low, refused] });
  const text = statusText({ hosts: [away], workloads: [], alerts: [] }, plain);
  expect(text).toMatch(/^a .* agent-refused: the agent speaks protocol 1, the collector 3: upgrade the agent$/m);
  expect(hostText(away, [], plain)).toContain('warning  agent-refused for 1 m 00 s: the agent speaks');
});

test('host: the same of one, in full, and what its agent uses; a reason drives no terminal', () => {
  const gaps = { count: 2, lines: 40, bytes: 5_120, lastAt: '2026-01-31T12:00:05.000Z', lastReason: 'rate\u001b[2J' };
  const agent = { at: '2026-01-31T12:01:00.000Z', residentBytes: 2 ** 26, cpuMs: 200, uptimeMs: 10_000, loopLagMs: 3_000 };
  const delivery = { lagMs: 4_000, outbox: { bytes: 2 ** 20, bytesMax: 2 ** 22, share: 0.25 }, gaps };
  const text = hostText(apiHost({ agent, delivery }), [], plain);
  expect(text).toMatch(/^ {2}lag +4\.0 s$/m);
  expect(text).toMatch(/^ {2}outbox +1\.0 MiB of 4\.0 MiB \(25 %\)$/m);
  expect(text).toMatch(/^ {2}gaps +2: 40 lines, 5\.0 KiB, the last 1 m 00 s ago \(rate\\x1b\[2J\)$/m);
  expect(text).toMatch(/^ {2}agent uses +64(?:\.0)? MiB, 2\.0 % of a core since its start, stood still for 3\.0 s$/m);
});
