/** What a configuration leaves to the host that it is read on. */
import { hostname } from 'node:os';
import type { ConfigDefaults } from '../config/load.ts';
import { groupId } from '../host/groups.ts';

export const hostDefaults = (): ConfigDefaults => ({ hostname: hostname(), groupId });
