/** What a configuration leaves to the host that it is read on. */
import type { Clock } from '@relight/shared/clock';
import { hostname } from 'node:os';
import { type ConfigDefaults, ifNotSetUp, parseConfig, readConfigText } from '../config/load.ts';
import type { AgentSpec } from '../config/spec.ts';
import { findGroupId, groupId, groupIdInFile } from '../host/groups.ts';

/** For commands: a directory service that is slow holds them up, for 3 s at most. */
export const hostDefaults = (): ConfigDefaults => ({ hostname: hostname(), groupId: (name) => groupId(name) });

export interface OnHost {
  readonly clock: Clock;
  /** Whether a group that is not known now is none, or is awaited. */
  readonly groupMayBeAway: (name: string) => boolean;
}

/** For the agent, which goes on with everything else while a directory service is asked. Fails with config-unreadable or config-invalid. */
export async function loadOnHost(file: string, { clock, groupMayBeAway }: OnHost): Promise<AgentSpec> {
  const text = await readConfigText(file, ifNotSetUp);
  const found = new Map<string, number | null>();
  for (;;) {
    const asked: string[] = [];
    const idOf = (name: string): number | 'away' | null => {
      const id = groupIdInFile(name) ?? found.get(name);
      if (id === undefined) asked.push(name);
      return id ?? (id === undefined || groupMayBeAway(name) ? 'away' : null);
    };
    try {
      const spec = parseConfig(text, file, { hostname: hostname(), groupId: idOf });
      if (asked.length === 0) return spec;
    } catch (thrown) {
      // What is wrong is told at once, all of it.
      if (asked.length === 0) throw thrown;
    }
    for (const name of asked) found.set(name, await findGroupId(name, clock));
  }
}
