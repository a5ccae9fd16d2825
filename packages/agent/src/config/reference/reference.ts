/**
 * What the reference of the configuration says of each field; docs/reference/agent-configuration.md is made of it (`npm run docs`). Which
 * fields there are, what is required, every default and what a change restarts is tested against the readers (docs.test.ts).
 */
import { impactOf, type Impact } from '../impact.ts';

export interface FieldReference {
  /** What may stand there: form, unit, allowed values. */
  readonly value: string;
  /** The default: as YAML in backticks, `required`, or in words; '' where its own fields have theirs. */
  readonly given: string;
  /** What it means, as Markdown; links count from docs/. */
  readonly text: string;
  /** Its own fields say what a change does. */
  readonly parts: boolean;
}

export interface SectionReference {
  /** `workloads[].mounts[]`; `Top level` for the file itself. */
  readonly path: string;
  /** Where one section has fields that only some have. */
  readonly of?: string;
  /** In docs/configuration.md, where more is said than a table can. */
  readonly anchor?: string;
  readonly fields: Readonly<Record<string, FieldReference>>;
}

export const topLevel = 'Top level';

export const field = (value: string, given = '', text = '', parts?: 'parts'): FieldReference => ({
  value,
  given,
  text,
  parts: parts !== undefined,
});

/** What a change of a field does to an agent that runs and its workloads. */
export type Applies = 'by field' | 'refused' | 'next use' | 'starts over' | Impact;

/** As compareAgents has it: outside of workloads by section, inside of them by the nearest field that is compared. */
export function appliesOf(path: string, name: string, { parts }: Pick<FieldReference, 'parts'>): Applies {
  if (parts) return 'by field';
  const whole = path === topLevel ? name : `${path}.${name}`;
  if (whole === 'state_dir') return 'refused';
  if (whole.startsWith('vars')) return 'next use';
  if (/^(?:host|collector|control|engine)\b/.test(whole)) return 'starts over';
  for (let inside = whole.replace(/^workloads\[\]\./, ''); inside !== ''; inside = inside.replace(/(?:\[\]|\.?[^.[\]]+)$/, '')) {
    const impact = impactOf(inside);
    if (impact !== undefined) return impact;
  }
  return 'none';
}
