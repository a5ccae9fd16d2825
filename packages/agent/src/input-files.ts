/** Which files of the host a workload is made from. Pure. */
import type { WorkloadSpec } from './config/spec.ts';

export interface InputFile {
  readonly path: string;
  /** Only a new container reads it. */
  readonly container: boolean;
}

/** Longer texts are no paths, but may hold some. */
const pathForm = /\/[\w.@+/-]+/g;

/**
 * Beside the configuration, which is watched by itself (config-reload.ts): env files, files bound into the container by name, and files below a bound directory that an
 * environment variable or an option of a mount names: key files, tokens, certificates.
 */
export function inputFiles({ container, mounts }: WorkloadSpec): readonly InputFile[] {
  const binds = container.volumes.filter(({ type }) => type === 'bind');
  const named = [...Object.values(container.environment), ...mounts.flatMap((mount) => (mount.type === 'gcsfuse' ? mount.options : []))];
  const bound = named
    .flatMap((text) => text.match(pathForm) ?? [])
    .flatMap((path) =>
      binds.filter(({ target }) => path.startsWith(`${target}/`)).map(({ source, target }) => source + path.slice(target.length)),
    );
  const files: InputFile[] = [
    ...container.envFile.map((path) => ({ path, container: true })),
    ...binds.map(({ source }) => ({ path: source, container: false })),
    ...bound.map((path) => ({ path, container: false })),
  ];
  return [...new Map(files.toReversed().map((file) => [file.path, file])).values()];
}
