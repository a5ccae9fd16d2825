import { expect, it } from 'vitest';
import type { MountSpec } from '../config/spec.ts';
import { judgeFailure } from '../checks/mount.ts';
import { isWanted, mountCommand, mountFailure } from './mount-program.ts';

const common = { name: 'data', target: '/data', timeoutMs: 1_000, check: { intervalMs: 1, timeoutMs: 1, failures: 1 } };
const gcsfuse = (bucket: string): MountSpec => ({ ...common, type: 'gcsfuse', bucket, onlyDir: null, implicitDirs: false, options: [] });
const entry = (source: string, fsType = 'fuse.gcsfuse') => ({
  device: '0:50',
  root: '/',
  mountPoint: '/data',
  fsType,
  source,
  superOptions: [],
});

it('leaves the bucket out for all buckets', () => {
  expect(mountCommand(gcsfuse('${B}'), { B: 'x' })).toEqual({ argv: ['gcsfuse', '--foreground', 'x', '/data'] });
  for (const all of ['', '_']) expect(mountCommand(gcsfuse(all), {})).toEqual({ argv: ['gcsfuse', '--foreground', '/data'] });
});

it('knows the wanted mount by its source', () => {
  expect(isWanted(entry('x'), gcsfuse('x'), {})).toBe(true);
  expect(isWanted(entry('y'), gcsfuse('x'), {})).toBe(false);
  expect(isWanted(entry('gcsfuse'), gcsfuse('_'), {})).toBe(true);
  expect(isWanted(entry('x', 'ext4'), gcsfuse('x'), {})).toBe(false);
  expect(isWanted(entry('anything', 'fuse'), { ...common, type: 'command', run: { text: '' } }, {})).toBe(true);
});

it.each([
  ["fuse: device not found, try 'modprobe fuse' first", 'fuse-missing'],
  ['fusermount3: fuse device not found | /dev/fuse: No such file or directory', 'fuse-missing'],
  ['Error: exec: "fusermount3": executable file not found in $PATH', 'fuse-missing'],
  ['fusermount3: mount failed: Operation not permitted', 'fuse-missing'],
  ['google: could not find default credentials', 'credentials-rejected'],
  ["storage: bucket doesn't exist", 'bucket-unknown'],
  ['does not have storage.objects.list access to the bucket', 'credentials-rejected'],
  ['write /tmp/gcsfuse123: no space left on device', 'disk-full'],
  ['dial tcp: lookup storage.googleapis.com: i/o timeout', 'mount-failed'],
  ['sh: gcsfuse: not found', 'mount-failed'],
])('is it worth another try? %s', (output, code) => {
  const error = mountFailure(gcsfuse('x'), 'exit code 1', ['Starting gcsfuse', output, 'bye'], 1);
  expect([error.code, error.recoverable]).toEqual([code, code === 'mount-failed']);
  expect(error.message).toBe(`mount data: exit code 1: ${code === 'mount-failed' ? `Starting gcsfuse | ${output} | bye` : output}`);
});

/** As gcsfuse 3.13 says it, shortened where dots are. */
const log = (severity: string, message: string): string =>
  JSON.stringify({ timestamp: { seconds: 1795311289, nanos: 326550546 }, severity, message: `${message}\n`, 'mount-id': 'x-1b7a11a2' });
const telemetry = 'failed to initialize gcpexporter exporter: stackdriver: google: could not find default credentials. See …';

it('does not take complaints about metrics and traces for the cause', () => {
  const network = 'Error while mounting gcsfuse: mountWithStorageHandle: dial tcp 10.0.0.1:443: connect: connection refused';
  const lines = [
    log('ERROR', telemetry),
    log('ERROR', telemetry.replace('failed to initialize gcpexporter', 'error occurred while setting up tracing')),
    log('ERROR', network),
  ];
  expect(mountFailure(gcsfuse('x'), 'exit code 1', lines, 1)).toMatchObject({ code: 'mount-failed', recoverable: true });
});

it.each([
  ["/usr/bin/fusermount3: fuse device not found, try 'modprobe fuse' first", 'fuse-missing'],
  ['/usr/bin/fusermount3: failed to open /dev/fuse: Operation not permitted', 'fuse-missing'],
  ['/usr/bin/fusermount3: mount failed: Operation not permitted', 'fuse-missing'],
  [
    log('ERROR', 'Error while mounting gcsfuse: … failed to detect credentials: open /none.json: no such file or directory'),
    'credentials-rejected',
  ],
  [
    log(
      'ERROR',
      'Error while mounting gcsfuse: … while fetching credentials: failed to detect credentials: credentials: unsupported unidentified file type',
    ),
    'credentials-rejected',
  ],
  [
    log('WARNING', 'Retrying GetObject for "x": InvocationID: 3, Attempt: 53, due to error: googleapi: Error 401: Invalid Credentials'),
    'credentials-rejected',
  ],
  [
    log(
      'ERROR',
      'LookUpInode: permission denied, StatObject: … googleapi: Error 403: w@p.iam.gserviceaccount.com does not have storage.objects.get access',
    ),
    'credentials-rejected',
  ],
  [
    log(
      'WARNING',
      "Prefetch failed for .: ListObjects: gcs.NotFoundError: … storage: bucket doesn't exist: googleapi: Error 404: Not Found, notFound",
    ),
    'bucket-unknown',
  ],
])('names the line of gcsfuse that tells: %s', (line, code) => {
  const after = [log('ERROR', 'Error while mounting gcsfuse: … running /usr/bin/fusermount3: exit status 1'), 'Error: … exit status 1'];
  const error = mountFailure(gcsfuse('x'), 'exit code 1', [log('INFO', 'GCSFuse Config'), log('ERROR', telemetry), line, ...after], 1);
  expect([error.code, error.recoverable]).toEqual([code, false]);
  expect(error.message).not.toContain('timestamp');
  expect(error.message).toMatch(/fusermount3: f|fusermount3: mount failed|credentials|Error 40[13]|bucket doesn't exist/);
});

it('reads what stat says of a mount', () => {
  const said = "stat: cannot read file system information for '/proc/9/root/d': ";
  expect(judgeFailure(`${said}Transport endpoint is not connected`)).toEqual(['disconnected', 'Transport endpoint is not connected']);
  expect(judgeFailure(`${said}Software caused connection abort`)[0]).toBe('disconnected');
  expect(judgeFailure(`${said}Permission denied`)).toEqual(['error', 'Permission denied']);
});
