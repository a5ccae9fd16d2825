/** What an importer gathers, and the YAML that comes of it. The section uses Compose's names, as a person would write it. */
import { stringify } from 'yaml';

/** A container section in YAML words; what is absent, null or empty is left out. */
export type ContainerDraft = Record<string, unknown>;

export interface Imported {
  readonly yaml: string;
  /** One line each: what was left behind, and why or what to do. */
  readonly notCarriedOver: readonly string[];
}

export function toYaml(workload: string, container: ContainerDraft): string {
  const given = Object.entries(container).filter(([, value]) => !isEmpty(value));
  return stringify({ version: 1, workloads: [{ name: workload, container: Object.fromEntries(given) }] }, { lineWidth: 0 });
}

const isEmpty = (value: unknown): boolean =>
  value === undefined || value === null || (typeof value === 'object' && Object.keys(value).length === 0);

/** A name that Relight accepts, made of whatever there is: `registry/team/image:tag` → `image`. */
export function workloadName(from: string): string {
  const last =
    from
      .replace(/@.*$/, '')
      .replace(/:[^/:]*$/, '')
      .split('/')
      .at(-1) ?? '';
  const name = last
    .replaceAll(/[^a-zA-Z0-9_.-]/g, '-')
    .replace(/^[^a-zA-Z0-9]+/, '')
    .slice(0, 63);
  return name === '' ? 'workload' : name;
}

/** `bytes` with the largest unit that says it exactly. */
export function sizeText(bytes: number): string {
  const units = [
    ['tb', 1024 ** 4],
    ['gb', 1024 ** 3],
    ['mb', 1024 ** 2],
    ['kb', 1024],
  ] as const;
  const unit = units.find(([, factor]) => bytes >= factor && bytes % factor === 0);
  return unit === undefined ? `${bytes}b` : `${bytes / unit[1]}${unit[0]}`;
}

export const reserved = {
  restart: 'Relight is the only restarter; its policy is under restart: of the workload',
  remove: 'Relight removes containers itself, after it has kept the evidence',
  health: 'write a check under ready: and live: of the workload',
} as const;
