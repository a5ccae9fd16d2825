/** Pure: what is executed for a mount, when a present mount is the wanted one, and what the program's last words mean. */
import { RelightError } from '@relight/shared/errors';
import { interpolate } from '../config/interpolate.ts';
import type { Command, MountSpec } from '../config/spec.ts';
import { isFuse, type MountEntry } from './proc.ts';

/** In the foreground, so that its end and its output are seen; flags as of gcsfuse 2 and 3. */
export function mountCommand(mount: MountSpec, vars: Readonly<Record<string, string>>): Command {
  if (mount.type === 'command') return mount.run;
  const bucket = bucketOf(mount, vars);
  return {
    argv: [
      'gcsfuse',
      '--foreground',
      ...(mount.implicitDirs ? ['--implicit-dirs'] : []),
      ...(mount.onlyDir === null ? [] : ['--only-dir', interpolate(mount.onlyDir, vars)]),
      ...mount.options,
      ...(bucket === '' ? [] : [bucket]),
      mount.target,
    ],
  };
}

/** gcsfuse gives the bucket as the source, `gcsfuse` for all buckets. Any FUSE mount does for a command. */
export function isWanted(entry: MountEntry, mount: MountSpec, vars: Readonly<Record<string, string>>): boolean {
  if (!isFuse(entry)) return false;
  if (mount.type === 'command') return true;
  const bucket = bucketOf(mount, vars);
  return entry.source === (bucket === '' ? 'gcsfuse' : bucket);
}

function bucketOf(mount: Extract<MountSpec, { type: 'gcsfuse' }>, vars: Readonly<Record<string, string>>): string {
  const bucket = interpolate(mount.bucket, vars);
  return bucket === '_' ? '' : bucket;
}

/** Failures that no repetition mends, by what gcsfuse, libfuse and rclone print. First match wins. */
const hopeless: readonly { readonly when: RegExp; readonly advice: string }[] = [
  {
    when: /\/dev\/fuse: (?:No such file|Operation not permitted|Permission denied)|fuse: device not found|failed to open \/dev\/fuse/i,
    advice: 'Give the container the device /dev/fuse (devices: [/dev/fuse]) or privileged: true; on the host: modprobe fuse.',
  },
  {
    when: /fusermount3?["']?: (?:executable file not found|not found|No such file)|exec: "?fusermount3?"?: /i,
    advice: 'Install fuse or fuse3 in the image: fusermount is missing.',
  },
  {
    when: /mount failed: (?:Operation not permitted|Permission denied)|fuse: mount failed: (?:Operation not permitted|Permission denied)|mount: .*Operation not permitted/i,
    advice: 'Mounting needs cap_add: [SYS_ADMIN] and, where AppArmor is on, security_opt: [apparmor=unconfined]; or privileged: true.',
  },
  {
    when: /could not find default credentials|invalid_grant|invalid_client|unable to (?:parse|read) (?:the )?(?:key|credentials)|NewTokenSource|no such file.*(?:key-file|\.json)/i,
    advice: 'Check the credentials inside the container: service account, key file, scopes.',
  },
  {
    when: /bucket (?:doesn't|does not) exist|bucket not found|unknown bucket|storage: bucket doesn't exist/i,
    advice: 'Correct the name of the bucket.',
  },
  {
    when: /does not have (?:storage\.|permission)|\b(?:401|403)\b.*(?:forbidden|unauthorized|denied)|permission ['"]?storage\./i,
    advice: 'Let the service account read the bucket (roles/storage.objectViewer or objectAdmin).',
  },
];

/** `what`: how the program ended. `output`: its last lines. */
export function mountFailure(mount: MountSpec, what: string, output: string): RelightError {
  const cause = hopeless.find(({ when }) => when.test(output));
  return new RelightError('mount-failed', `mount ${mount.name}: ${what}${output === '' ? '' : `: ${output}`}`, {
    data: { mount: mount.name, target: mount.target },
    ...(cause === undefined ? {} : { recoverable: false, advice: cause.advice }),
  });
}
