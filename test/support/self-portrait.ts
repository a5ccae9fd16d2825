/** What an agent of a test says of itself, its host and its workloads: an uplink needs something to say. */
import type { UplinkOptions } from '@relight/agent/uplink/uplink';

export const selfPortrait = (version = '1'): Pick<UplinkOptions, 'hello' | 'status'> => ({
  hello: () => ({
    agentId: 'agent-0001',
    machineId: 'm',
    bootId: 'b',
    host: 'h',
    labels: {},
    version,
    facts: {},
    remoteActions: true,
  }),
  status: () => ({ workloads: [], engine: 'up' }),
});
