/** Ray cluster files in the places where people have them. */
import { constants } from 'node:fs';
import { lstat, open, readdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { importRay } from '../../config/import/ray/import-ray.ts';
import { noteWords } from '../../config/import/ray/report.ts';
import { readConfigText } from '../../config/load.ts';
import type { HostAnswers } from '../../config/import/ray/options.ts';
import { unusable, type FoundRay, type Unusable } from './facts.ts';
import { readBack } from './probe.ts';

/** A directory, and which of its files may be one. */
export interface RayPlace {
  readonly directory: string;
  readonly names: RegExp;
}

interface RayFile {
  readonly file: string;
  /** What it says, or why nobody looks at that. */
  readonly text: string | Unusable;
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

/** Users whose files may become the configuration unasked: root, whoever runs this, and who has called sudo for it. */
export function trustedOwners(own: number, sudoUid: string | undefined): ReadonlySet<number> {
  return new Set([0, own, ...(sudoUid !== undefined && /^\d+$/.test(sudoUid) ? [Number(sudoUid)] : [])]);
}

/** With absolute paths, each file once. What cannot be read is none. */
export async function findRayFiles(places: readonly RayPlace[], owners: ReadonlySet<number>): Promise<readonly RayFile[]> {
  const found = new Map<string, RayFile>();
  for (const { directory, names } of places) {
    const entries = await readdir(directory).catch((): string[] => []);
    for (const entry of entries
      .filter((name) => names.test(name) && name !== ofHead)
      .toSorted()
      .slice(0, filesMax)) {
      const item = await rayFileAt(join(directory, entry), owners);
      if (item !== null) found.set(item.file, item);
    }
  }
  return [...found.values()];
}

/** One that a person has named: whoever owns it. */
export async function namedRayFile(file: string): Promise<RayFile> {
  return { file, text: await readConfigText(file).catch(unusable) };
}

async function rayFileAt(path: string, owners: ReadonlySet<number>): Promise<RayFile | null> {
  const link = await lstat(path).catch(() => null);
  const file = await realpath(path).catch(() => null);
  const content = file === null ? null : await contentOf(file);
  if (link === null || file === null || content === null || !looksLikeRay(content.text)) return null;
  const problem = distrust([link.uid, content.uid], content.mode, owners);
  if (problem === null) return { file, text: content.text };
  return { file, text: { problem, advice: `Look through it. If it is right: --ray-yaml ${file}.` } };
}

/** Null: nobody else can have written it. */
function distrust(uids: readonly number[], mode: number, owners: ReadonlySet<number>): string | null {
  const stranger = uids.find((uid) => !owners.has(uid));
  if (stranger !== undefined) return `it belongs to another user (uid ${stranger}), whose commands would run as root`;
  return (mode & 0o022) === 0 ? null : 'others than its owner may write it, and its commands would run as root';
}

/** Text and owner of the same file, whatever is done to its name meanwhile. */
async function contentOf(file: string): Promise<{ readonly text: string; readonly uid: number; readonly mode: number } | null> {
  // A pipe would be waited for.
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW).catch(() => null);
  if (handle === null) return null;
  try {
    const facts = await handle.stat();
    if (!facts.isFile() || facts.size > bytesMax) return null;
    const text = new TextDecoder('utf-8', { fatal: true }).decode(await handle.readFile());
    return { text, uid: facts.uid, mode: facts.mode };
  } catch {
    return null;
  } finally {
    await handle.close();
  }
}

/** Keys that only cluster files have at the left margin. Pure. */
export function looksLikeRay(text: string): boolean {
  const has = (key: string): boolean => new RegExp(`^${key}\\s*:`, 'm').test(text);
  return has('provider') && ['cluster_name', 'available_node_types', 'head_node_type', 'worker_start_ray_commands'].some(has);
}

/** As `import ray` does it; with the problem where that says one. */
export function readRay(
  { file, text }: RayFile,
  flags: { readonly nodeType?: string; readonly head?: string },
  host: HostAnswers,
): FoundRay {
  if (typeof text !== 'string') return { file, imported: text };
  try {
    const { yaml: made, notes } = importRay(text, { file, ...flags, host });
    const lines = notes.map(({ kind, line, text: what }) => `${noteWords[kind]}: ${file}:${line}: ${what}`);
    return { file, imported: readBack({ yaml: made, notes: lines }) };
  } catch (thrown) {
    return { file, imported: unusable(thrown) };
  }
}
