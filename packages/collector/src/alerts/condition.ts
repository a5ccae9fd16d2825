/** What rules say and what they are told: plain data. */
import type { Severity } from '@relight/shared/event';
import type { AlertRecord, HostRecord } from '../store/store.ts';

export const ruleNames = [
  'RepeatedRestarts',
  'HostDead',
  'HostStopped',
  'HostMissing',
  'FleetDisconnected',
  'WorkloadHeld',
  'EngineDown',
  'DependencyDown',
  'SliceDown',
  'HostCondition',
] as const;
export type RuleName = (typeof ruleNames)[number];

/** What a rule holds to be wrong at this moment. A firing alert whose condition is no longer named is resolved. */
export interface Condition {
  readonly rule: RuleName;
  readonly severity: Severity;
  /** '' for an alert about the whole fleet. */
  readonly host: string;
  readonly workload: string | null;
  /** Tells alerts of one rule about one host apart: a condition's name, a dependency's address. */
  readonly subject?: string;
  readonly since: number;
  /** Of a rule that remembers: when it last happened. Whatever else is told is judged by what is so now. */
  readonly lastAt?: number;
  /** It is shown at once, and told when it lasts until then. */
  readonly tellAt?: number;
  /** One line, for a person. */
  readonly summary: string;
  /** The rule's own memory, kept with the alert. */
  readonly data: Readonly<Record<string, unknown>>;
}

/** The alerts that fire now, by alertKey. */
export type Firing = ReadonlyMap<string, AlertRecord>;

/** One per rule and what it is about; a later episode of the same trouble has the same key. A stored alert has its subject as a label. */
export function alertKey(alert: {
  readonly rule: string;
  readonly host: string;
  readonly workload: string | null;
  readonly subject?: string;
  readonly labels?: Readonly<Record<string, string>>;
}): string {
  const subject = alert.subject ?? alert.labels?.['subject'];
  return JSON.stringify([alert.rule, alert.host, alert.workload, ...(subject === undefined ? [] : [subject])]);
}

/** Nothing was heard of these hosts for a while although they should be there. */
export function isSilent(host: Pick<HostRecord, 'state'>): boolean {
  return host.state === 'disconnected' || host.state === 'suspect' || host.state === 'dead';
}
