import type { HostMetrics } from '@relight/shared/status';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ManualClock } from '@relight/shared/manual-clock';
import { mkdtempSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ReportedCondition } from './condition-diff.ts';
import { containerConditions, ContainerSurvey, writesCoreFiles } from './container-survey.ts';
import { parseMemoryStalled, resourceConditions } from './resources.ts';
import { StateProbe, unwritable } from './state-probe.ts';

const gib = 1024 ** 3;
const disk = (freeShare: number, more: Partial<HostMetrics['disks'][number]> = {}): HostMetrics => ({
  at: 0,
  disks: [{ path: '/', totalBytes: 100 * gib, freeBytes: freeShare * 100 * gib, ...more }],
});

/** What is raised after each sample, the samples in their order. */
function fold(samples: readonly HostMetrics[]): string[] {
  let raised: ReportedCondition[] = [];
  return samples.map((sample) => {
    raised = resourceConditions(sample, raised);
    return raised.map(({ name, severity }) => `${name} ${severity}`).join(', ');
  });
}

describe('disks', () => {
  test('low at 5 %, over above 7 %, full when hardly anything is left', () => {
    const low = 'disk-low warning';
    const full = 'disk-full critical';
    expect(fold([0.051, 0.05, 0.06, 0.07, 0.071, 0.06, 0.0001, 0.001, 0.002, 0.08].map((share) => disk(share)))).toEqual([
      '',
      low,
      low,
      low,
      '',
      '',
      full,
      full,
      low,
      '',
    ]);
  });

  test('inodes', () => {
    const sample = (free: number) => disk(0.5, { inodesFree: free, inodesTotal: 1_000 });
    expect(fold([sample(51), sample(50), sample(60), sample(0), sample(71)])).toEqual([
      '',
      'inodes-low warning',
      'inodes-low warning',
      'inodes-low critical',
      '',
    ]);
    expect(resourceConditions(sample(20), [])[0]?.reason).toContain('20 of 1000 inodes free (2.0 %)');
  });

  test('a tiny disk that is half free is not full', () => {
    expect(fold([{ at: 0, disks: [{ path: '/t', totalBytes: 4 * 1024 ** 2, freeBytes: 2 * 1024 ** 2 }] }])).toEqual(['']);
  });

  test('never flaps: within the band nothing changes, whatever the order', () => {
    fc.assert(
      fc.property(fc.boolean(), fc.array(fc.double({ min: 0.0501, max: 0.0699, noNaN: true })), (low, shares) => {
        const [first, ...rest] = fold([disk(low ? 0.04 : 0.2), ...shares.map((share) => disk(share))]);
        expect(rest.every((one) => one === first)).toBe(true);
      }),
    );
  });
});

describe('memory', () => {
  const memory = (available: number, stalled?: number): HostMetrics => ({
    at: 0,
    disks: [],
    memoryTotalBytes: 100,
    memoryAvailableBytes: available,
    ...(stalled === undefined ? {} : { memoryStalled: stalled }),
  });

  test('little available, or everything waits for it', () => {
    const held = 'memory-pressure warning';
    expect(fold([memory(5), memory(4), memory(7), memory(8), memory(50, 0.2), memory(50, 0.15), memory(50, 0.05)])).toEqual([
      '',
      held,
      held,
      '',
      held,
      held,
      '',
    ]);
  });

  test('pressure as the kernel writes it', () => {
    const text = 'some avg10=0.00 avg60=1.50 avg300=0.00 total=1\nfull avg10=3.00 avg60=12.50 avg300=0.10 total=2\n';
    expect(parseMemoryStalled(text)).toBe(0.125);
    expect(parseMemoryStalled('')).toBeUndefined();
  });
});

describe('the state directory', () => {
  const probed = async (stateDir: string): Promise<readonly ReportedCondition[]> => {
    let found: readonly ReportedCondition[] = [];
    await new StateProbe({ clock: new ManualClock(), stateDir, report: (list) => (found = list) }).probe();
    return found;
  };

  test('takes a file, and keeps none', async () => {
    const stateDir = mkdtempSync(join(tmpdir(), 'relight-probe-'));
    expect(await probed(stateDir)).toEqual([]);
    expect(readdirSync(stateDir)).toEqual([]);
  });

  test('does not', async () => {
    expect(await probed('/proc')).toEqual([]);
    expect(await probed('/sys')).toMatchObject([{ name: 'read-only-filesystem', subject: '/sys', severity: 'critical' }]);
  });

  test.each([
    ['ENOSPC', 'disk-full'],
    ['EDQUOT', 'disk-full'],
    ['EROFS', 'read-only-filesystem'],
    ['EIO', 'read-only-filesystem'],
  ])('%s is %s', (code, name) => {
    const subject = name === 'disk-full' ? '/disk/state' : '/disk';
    const reason = expect.stringContaining('the state directory /disk/state takes no file: words') as string;
    expect(unwritable('/disk/state', '/disk', code, 'words')).toMatchObject({ name, subject, reason });
  });
});

describe('containers', () => {
  const bounded = { Type: 'json-file', Config: { 'max-size': '10m' } };
  const container = (more: object, labels: Record<string, string> = {}) => ({
    Name: '/c',
    State: { Running: true },
    Config: { Labels: labels },
    HostConfig: { LogConfig: { Type: 'json-file', Config: {} }, Ulimits: null, ...more },
  });
  const context = { ownerId: 'me', ownerLabel: 'relight.agent', dumps: true };
  const own = { 'relight.agent': 'me' };

  test.each([
    ['foreign, unbounded', container({}), ['log-options info']],
    [
      'own, unbounded, dumps',
      container({ Ulimits: [{ Name: 'core', Soft: -1, Hard: -1 }] }, own),
      ['log-options warning', 'core-dumps warning'],
    ],
    ['made as it was when it was adopted', container({ LogConfig: bounded }, own), ['core-dumps info']],
    ['own, in order', container({ LogConfig: bounded, Ulimits: [{ Name: 'core', Soft: 0, Hard: 0 }] }, own), []],
    ['another driver', container({ LogConfig: { Type: 'journald', Config: null } }), []],
    ['stopped', { ...container({}), State: { Running: false } }, []],
    ['an empty document', {}, []],
  ])('%s', (_name, document, found) => {
    expect(containerConditions(document, context).map(({ name, severity }) => `${name} ${severity}`)).toEqual(found);
  });

  test.each([
    ['core\n', true],
    ['/var/crash/core.%p\n', true],
    ['|/usr/share/apport/apport %p\n', false],
    ['\n', false],
  ])('core_pattern %j writes files: %s', (pattern, writes) => {
    expect(writesCoreFiles(pattern)).toBe(writes);
  });

  test('an engine that does not answer changes nothing', async () => {
    const reports: (readonly ReportedCondition[])[] = [];
    let broken = false;
    const survey = new ContainerSurvey({
      clock: new ManualClock(),
      engine: {
        list: () => (broken ? Promise.reject(new Error('gone')) : Promise.resolve(['1', '2'])),
        inspectRaw: (id) => Promise.resolve(id === '1' ? container({}) : null),
      },
      ownerId: 'me',
      ownerLabel: 'relight.agent',
      corePattern: () => 'core',
      report: (list) => void reports.push(list),
    });
    await survey.look();
    broken = true;
    await survey.look();
    expect(reports).toMatchObject([[{ name: 'log-options', subject: 'c' }]]);
  });
});
