/** Who comes with a host's token and is not whom it was given to may be a thief, while the host itself is down. */
import { expect, test } from 'vitest';
import { epoch, hostRecord } from '../../../../test/support/fleet-records.ts';
import { evaluate } from '../alerts/evaluate.ts';
import { readConfig } from '../config.ts';
import { agentRefused } from './agent-refused.ts';

const greeting = { version: '0.1.0' };
const stranger = { host: 'b', address: '10.0.0.9', tokenId: 'tok1' };
const refused = { code: 'unauthorized', reason: 'this token is for host a', greeting } as const;

test('it is said who comes from where as whom, and how its token is ended; not to forget the host, which would leave the token valid', () => {
  const { reason, advice } = agentRefused(undefined, { ...refused, stranger }, epoch);
  expect(reason).toBe(
    'nothing is heard of this host, and 10.0.0.9 comes with its token as b: this token is for host a (its version: 0.1.0)',
  );
  expect(advice).toContain('relight-collector token revoke tok1, then let this host join anew');
  expect(advice).not.toMatch(/forget|looked after/);
  expect(agentRefused(undefined, { ...refused, reason: 'the token is revoked' }, epoch).advice).toMatch(/relight forget HOST\. Meanwhile/);
});

test('HostDead is told all the same', () => {
  const conditions = [agentRefused(undefined, { ...refused, stranger }, epoch)];
  const hosts = new Map([['a', hostRecord('a', { state: 'dead', stateSince: epoch, reason: 'silent for 61 s', conditions })]]);
  const nothing = { tracks: new Map(), falls: new Map(), firing: new Map(), ended: new Map() };
  const { changes } = evaluate(nothing, { hosts, restarts: [], falls: [], now: epoch + 60_000 }, readConfig(null).alerts);
  expect(changes.find(({ alert }) => alert.rule === 'HostDead')).toMatchObject({ transition: 'firing', notify: true });
});
