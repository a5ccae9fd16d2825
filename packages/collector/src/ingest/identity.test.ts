import { describe, expect, it } from 'vitest';
import { judgeClaim } from './identity.ts';

const hello = { agentId: 'a', machineId: 'm', host: 'h', bootId: 'b', epoch: 'e' };
const token = { host: null, agentId: null, machineId: null };
const nobody = { token, fenced: false, sameName: null, sameAgent: null };
const none = new Set<string>();
const self = { host: 'h', agentId: 'a', machineId: 'm', bootId: 'b', alive: true, address: '10.0.0.1', displaced: none, copies: none };

describe('who may speak for a host', () => {
  it.each([
    ['a new host', {}, { accepted: true, fences: null }],
    ['a reconnect', { sameName: self, sameAgent: self }, { accepted: true, fences: null }],
    ['a pre-registered host', { sameName: { ...self, agentId: null, machineId: null, alive: false } }, { accepted: true, fences: null }],
    ['a token of another host', { token: { ...token, host: 'x' } }, { accepted: false, code: 4401, notice: { host: 'x' } }],
    ['its own token', { token: { host: 'h', agentId: 'a', machineId: 'm' } }, { accepted: true }],
    ['a token of another agent', { token: { host: 'h', agentId: 'b', machineId: 'm' } }, { accepted: false, code: 4401 }],
    [
      'a token that was given to another machine, also when the thief says the right agent',
      { token: { host: 'h', agentId: 'a', machineId: 'm2' } },
      {
        accepted: false,
        code: 4401,
        reason: 'this token was given to another machine; join this one anew',
        notice: { host: 'h', message: expect.any(String) as string },
      },
    ],
    ['a fenced agent', { fenced: true }, { accepted: false, code: 4409 }],
    ['a clone of a living agent', { sameAgent: { ...self, machineId: 'm2' } }, { accepted: false, code: 4410 }],
    [
      'a copied machine id under another name, while the first is connected',
      { sameAgent: { ...self, host: 'first' } },
      {
        accepted: false,
        code: 4410,
        reason: 'same machine id (/etc/machine-id) as first at 10.0.0.1, which is connected',
        notice: { host: 'first', message: 'h has the same machine id (/etc/machine-id): refused', shared: true },
      },
    ],
    ['a rebooted host whose former connection still stands', { sameName: self, sameAgent: self }, { accepted: true, fences: null }],
    [
      'a copied machine id under the same name, which is back although another boot took over from it',
      { sameName: self, sameAgent: { ...self, displaced: new Set(['b e']) } },
      { accepted: false, code: 4410, notice: { host: 'h', shared: true } },
    ],
    [
      'the same, where its agent was started again meanwhile',
      { sameName: self, sameAgent: { ...self, bootId: 'b2', displaced: new Set(['b e1']) } },
      { accepted: false, code: 4410, notice: { host: 'h', shared: true } },
    ],
    [
      'an agent that was started again twice, whose first connection had not ended when the second life came',
      { sameName: self, sameAgent: { ...self, displaced: new Set(['b e1']) } },
      { accepted: true, fences: null },
    ],
    [
      'one that another boot took over from, when that is silent',
      { sameName: self, sameAgent: { ...self, alive: false, displaced: new Set(['b e']) } },
      { accepted: true, fences: null },
    ],
    [
      'one that was refused beside the first, while that is away for a moment',
      { sameAgent: { ...self, host: 'first', bootId: 'b1', alive: false, copies: new Set(['h']) } },
      {
        accepted: false,
        code: 4410,
        reason: 'same machine id as first, and seen beside it; if that is its former name: relight forget first',
        notice: { host: 'first', message: 'h has the same machine id (/etc/machine-id), and was seen beside it: refused' },
      },
    ],
    [
      'a renamed host that was refused as long as its connection under the old name had not ended',
      { sameAgent: { ...self, host: 'old', alive: false, copies: new Set(['h']) } },
      { accepted: true, fences: null },
    ],
    ['a renamed host', { sameAgent: { ...self, host: 'old', alive: false } }, { accepted: true, fences: null }],
    [
      'the id of another host, which is not connected, from a machine that is not that host’s',
      { sameAgent: { ...self, host: 'other', machineId: 'm2', alive: false } },
      { accepted: false, code: 4410, notice: { host: 'other' } },
    ],
    ['a replaced machine', { sameAgent: { ...self, machineId: 'm2', alive: false } }, { accepted: true }],
    ['a new agent under an old name', { sameName: { ...self, agentId: 'b' } }, { accepted: true, fences: 'b' }],
  ])('judges %s', (_, facts, verdict) => {
    expect(judgeClaim(hello, { ...nobody, ...facts })).toMatchObject(verdict);
  });
});
