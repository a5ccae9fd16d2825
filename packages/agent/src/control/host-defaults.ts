/** What a configuration leaves to the host that it is read on. */
import { hostname } from 'node:os';
import type { ConfigDefaults } from '../config/load.ts';
import { groupId } from '../host/groups.ts';

/** @param groupMayBeAway whether a group that is not known now is none, or is awaited; by default it is none */
export const hostDefaults = (groupMayBeAway: (name: string) => boolean = () => false): ConfigDefaults => ({
  hostname: hostname(),
  groupId: (name) => groupId(name) ?? (groupMayBeAway(name) ? 'away' : null),
});
