/** Ray cluster files in the places where people have them. */
import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { importRay } from '../../config/import/ray/import-ray.ts';
import { noteWords } from '../../config/import/ray/report.ts';
import { readConfigText } from '../../config/load.ts';
import type { HostAnswers } from '../../config/import/ray/options.ts';
import { unusable, type FoundRay } from './facts.ts';
import { readBack } from './probe.ts';

/** A directory, and which of its files may be one. */
export interface RayPlace {
  readonly directory: string;
  readonly names: RegExp;
}

const yaml = /\.ya?ml$/i;
const rayYaml = /^ray.*\.ya?ml$/i;
/** Ray's own copy on the head: that host is no worker. */
const ofHead = 'ray_bootstrap_config.yaml';
const bytesMax = 1 << 20;
const filesMax = 100;

/** `user`: who has called sudo. */
export function usualRayPlaces(cwd: string, home: string, user: string | undefined): readonly RayPlace[] {
  const other = user !== undefined && /^[a-z_][a-z0-9_-]*$/.test(user) ? [{ directory: join('/home', user), names: rayYaml }] : [];
  return [{ directory: '/etc/relight', names: yaml }, { directory: cwd, names: yaml }, { directory: home, names: rayYaml }, ...other];
}

/** Absolute paths, each file once. What cannot be read is none. */
export async function findRayFiles(places: readonly RayPlace[]): Promise<readonly string[]> {
  const found = new Set<string>();
  for (const { directory, names } of places) {
    const entries = await readdir(directory).catch((): string[] => []);
    for (const entry of entries
      .filter((name) => names.test(name) && name !== ofHead)
      .toSorted()
      .slice(0, filesMax)) {
      const file = await realpath(join(directory, entry)).catch(() => null);
      if (file !== null && (await isRayFile(file))) found.add(file);
    }
  }
  return [...found];
}

async function isRayFile(file: string): Promise<boolean> {
  const facts = await stat(file).catch(() => null);
  // A pipe would be waited for.
  if (facts === null || !facts.isFile() || facts.size > bytesMax) return false;
  return looksLikeRay(await readFile(file, 'utf8').catch(() => ''));
}

/** Keys that only cluster files have at the left margin. Pure. */
export function looksLikeRay(text: string): boolean {
  const has = (key: string): boolean => new RegExp(`^${key}\\s*:`, 'm').test(text);
  return has('provider') && ['cluster_name', 'available_node_types', 'head_node_type', 'worker_start_ray_commands'].some(has);
}

/** As `import ray` does it; with the problem where that says one. */
export async function readRay(
  file: string,
  flags: { readonly nodeType?: string; readonly head?: string },
  host: HostAnswers,
): Promise<FoundRay> {
  try {
    const { yaml: text, notes } = importRay(await readConfigText(file), { file, ...flags, host });
    const lines = notes.map(({ kind, line, text: what }) => `${noteWords[kind]}: ${file}:${line}: ${what}`);
    return { file, imported: readBack({ yaml: text, notes: lines }) };
  } catch (thrown) {
    return { file, imported: unusable(thrown) };
  }
}
