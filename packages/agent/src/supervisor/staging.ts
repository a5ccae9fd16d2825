/**
 * A program has no space left in a gcsfuse mount. No disk of the host is full then, and the bucket has no limit: what is changed in
 * place is staged in a directory of the container before it is uploaded, and that is full. gcsfuse itself says nothing of it. Pure.
 */
import type { Classification } from './classify.ts';

interface Mount {
  readonly name: string;
  readonly type: 'gcsfuse' | 'command';
  readonly target: string;
  readonly options?: readonly string[];
}

/** Where gcsfuse stages when nobody tells it. */
const defaultDirectory = '/tmp';

/** `known` with the advice that helps, where its line names a path in a gcsfuse mount. */
export function adviseStaging(known: Classification | null, mounts: readonly Mount[]): Classification | null {
  if (known?.code !== 'disk-full') return known;
  const mount = mounts.find(({ type, target }) => type === 'gcsfuse' && known.cause.includes(target));
  if (mount === undefined) return known;
  const directory = stagingDirectory(mount.options ?? []);
  const where = `gcsfuse stages what is changed in ${mount.target} in ${directory} of the container before it is uploaded, and that is full`;
  return { ...known, advice: `${where}. Give it more space, or the mount ${mount.name} another --temp-dir (options).` };
}

function stagingDirectory(options: readonly string[]): string {
  const at = options.findLastIndex((option) => /^--?temp-dir(?:=|$)/.test(option));
  const option = options[at];
  if (option === undefined) return defaultDirectory;
  return option.includes('=') ? option.slice(option.indexOf('=') + 1) : (options[at + 1] ?? defaultDirectory);
}
