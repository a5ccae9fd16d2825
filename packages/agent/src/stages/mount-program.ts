/** Pure: what is executed for a mount, when a present mount is the wanted one, and what the program's last words mean. */
import { RelightError } from '@relight/shared/errors';
import { interpolate } from '../config/interpolate.ts';
import type { Command, MountSpec } from '../config/spec.ts';
import { classify } from '../supervisor/classify.ts';
import { lastLines, withOutput } from './output.ts';
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

/** `what`: how the program ended. `lines`: the last ones that it wrote. */
export function mountFailure(mount: MountSpec, what: string, lines: readonly string[], exitCode: number | null): RelightError {
  const said = sentences(lines);
  const known = classify('mount', said, exitCode);
  // After the line that tells, gcsfuse says in two more that mounting has failed.
  const output = known?.cause ?? lastLines(said.join('\n'), 3);
  return new RelightError(known?.code ?? 'mount-failed', withOutput(`mount ${mount.name}: ${what}`, output), {
    data: { mount: mount.name, target: mount.target, exitCode },
    ...(known === null ? {} : { recoverable: known.recoverable, advice: known.advice }),
  });
}

/** gcsfuse logs JSON; what is no more than information explains no failure. Other programs' lines stay as they are. */
export function sentences(lines: readonly string[]): readonly string[] {
  return lines.flatMap((line) => {
    const entry = logEntry(line);
    if (entry === null) return [line];
    return /^(?:TRACE|DEBUG|INFO)$/.test(entry.severity) ? [] : [entry.message.trim()];
  });
}

function logEntry(line: string): { readonly severity: string; readonly message: string } | null {
  if (!line.startsWith('{')) return null;
  try {
    const { severity, message } = JSON.parse(line) as Record<string, unknown>;
    return typeof severity === 'string' && typeof message === 'string' ? { severity, message } : null;
  } catch {
    // The first line of a tail may be half a line.
    return null;
  }
}
