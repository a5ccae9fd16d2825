/**
 * What about the containers of this host fills its disk sooner or later: logs without a bound, core dumps. Looked at seldom: the
 * answers change only with the containers.
 */
import type { Clock, Timer } from '@relight/shared/clock';
import { readFileSync } from 'node:fs';
import type { Engine } from '../engine/engine.ts';
import type { ReportedCondition } from './condition-diff.ts';

const everyMs = 15 * 60_000;
const firstMs = 30_000;
/** A host with more containers than this is not asked for all of them. */
const containersMax = 100;
const callMs = 10_000;

export interface SurveyOptions {
  readonly clock: Clock;
  readonly engine: Pick<Engine, 'list' | 'inspectRaw'>;
  readonly ownerId: string;
  readonly ownerLabel: string;
  readonly report: (conditions: readonly ReportedCondition[]) => void;
  readonly corePattern?: () => string;
}

export class ContainerSurvey {
  readonly #options: SurveyOptions;
  #timer: Timer | null = null;

  constructor(options: SurveyOptions) {
    this.#options = options;
  }

  start(): void {
    const again = (ms: number): void => {
      this.#timer = this.#options.clock.after(ms, () => void this.look().finally(() => again(everyMs)));
    };
    again(firstMs);
  }

  dispose(): void {
    this.#timer?.cancel();
  }

  /** Never rejects: an engine that does not answer is told elsewhere, and what was known stays. */
  async look(): Promise<void> {
    const { engine, report, ownerId, ownerLabel, corePattern = readCorePattern } = this.#options;
    const found: ReportedCondition[] = [];
    try {
      const dumps = writesCoreFiles(corePattern());
      const ids = await engine.list({}, { timeoutMs: callMs });
      for (const id of ids.slice(0, containersMax)) {
        const document = await engine.inspectRaw(id, { timeoutMs: callMs });
        if (document !== null) found.push(...containerConditions(document, { ownerId, ownerLabel, dumps }));
      }
    } catch {
      return;
    }
    report(found);
  }
}

/** The part of the engine's inspect document that is read. */
export interface SurveyedContainer {
  readonly Name?: string;
  readonly State?: { readonly Running?: boolean };
  readonly Config?: { readonly Labels?: Readonly<Record<string, string>> | null };
  readonly HostConfig?: {
    readonly LogConfig?: { readonly Type?: string; readonly Config?: Readonly<Record<string, string>> | null };
    readonly Ulimits?: readonly { readonly Name: string; readonly Soft: number; readonly Hard: number }[] | null;
  };
}

/** Pure. Containers that do not run write nothing. */
export function containerConditions(
  { Name = '', State, Config, HostConfig }: SurveyedContainer,
  { ownerId, ownerLabel, dumps }: { readonly ownerId: string; readonly ownerLabel: string; readonly dumps: boolean },
): ReportedCondition[] {
  if (State?.Running !== true) return [];
  const subject = Name.replace(/^\//, '');
  const own = Config?.Labels?.[ownerLabel] === ownerId;
  const severity = own ? 'warning' : 'info';
  const found: ReportedCondition[] = [];
  const { Type = '', Config: options } = HostConfig?.LogConfig ?? {};
  if (Type === 'json-file' && options?.['max-size'] === undefined) {
    found.push({
      name: 'log-options',
      subject,
      severity,
      reason: 'its json-file log has no max-size: it grows until the disk is full',
      advice: own
        ? 'Give the container logging options with max-size and max-file, or leave `logging` out: Relight sets a bound.'
        : 'Give it --log-opt max-size=50m, or set log-opts in /etc/docker/daemon.json for all new containers.',
    });
  }
  const core = HostConfig?.Ulimits?.find((limit) => limit.Name === 'core');
  if (own && dumps && core?.Soft !== 0) {
    // Whatever we describe ourselves has a limit; one without was made as somebody else's was when it was adopted, and stays so.
    const adopted = core === undefined;
    found.push({
      name: 'core-dumps',
      subject,
      severity: adopted ? 'info' : severity,
      reason:
        'a crashing program may write core files of the size of its memory (no `ulimits: {core: 0}`, and kernel.core_pattern names files)',
      advice: adopted
        ? 'It is made as it was when it was adopted. Let kernel.core_pattern pipe into systemd-coredump, which has a bound, or describe the container instead of adopting it.'
        : 'Leave ulimits.core out or set it to 0, or let kernel.core_pattern pipe into systemd-coredump, which has a bound.',
    });
  }
  return found;
}

/** core(5): `|program` pipes; an empty pattern writes nothing (unless core_uses_pid, which nobody sets with it). Pure. */
export const writesCoreFiles = (pattern: string): boolean => pattern.trim() !== '' && !pattern.trim().startsWith('|');

function readCorePattern(): string {
  try {
    return readFileSync('/proc/sys/kernel/core_pattern', 'utf8');
  } catch {
    return '';
  }
}
