import { ManualClock } from '@relight/shared/manual-clock';
import { expect, it } from 'vitest';
import { tokenRecord } from '../../../../test/support/token-record.ts';
import type { StoredEvent } from '../store/store.ts';
import { Session, type SessionOwner } from './session.ts';

const settle = () => new Promise<void>((resolve) => setImmediate(resolve));
const ignore = () => undefined;

function standing() {
  const flow: string[] = [];
  const published: StoredEvent[] = [];
  const commits: (() => void)[] = [];
  const owner: SessionOwner = {
    fleetSize: 1,
    claim: () => ({ accepted: true, watch: [] }),
    heard: ignore,
    heartbeat: ignore,
    goodbye: ignore,
    closed: ignore,
    actionResult: ignore,
    eventsStored: (events) => void published.push(...events),
    pieceStored: ignore,
    incidentStored: ignore,
  };
  const session = new Session({
    id: 's',
    token: tokenRecord(),
    address: '10.0.0.1',
    socket: {
      send: ignore,
      ping: ignore,
      close: ignore,
      terminate: ignore,
      pause: () => flow.push('pause'),
      resume: () => flow.push('resume'),
    },
    owner,
    store: {
      lastEventSeq: () => 0,
      committedOffset: () => 0,
      commitEvents: (_agent, host, _epoch, events, receivedAt) =>
        new Promise((resolve) => {
          const stored = events.map(({ seq, ...event }) => ({ ...event, id: seq, receivedAt, host, workload: null, generation: null }));
          commits.push(() => resolve({ seq: events.at(-1)?.seq ?? 0, stored }));
        }),
      commitBlock: () => Promise.reject(new Error('no blocks here')),
      commitGap: () => Promise.reject(new Error('no gaps here')),
      commitIncident: () => Promise.reject(new Error('no incidents here')),
      commitIncidentEvidence: () => Promise.reject(new Error('no evidence here')),
    },
    clock: new ManualClock(),
    heartbeatMs: 10_000,
    handshakeDone: ignore,
    refused: ignore,
    warn: ignore,
  });
  const receive = (message: object): void => session.receive(Buffer.from(JSON.stringify(message)), false);
  const ids = { agentId: 'agent-0001', machineId: 'm', epoch: 'e', bootId: 'b', host: 'h', version: '1' };
  receive({ type: 'hello', protocol: 1, ...ids, labels: {}, facts: {}, remoteActions: true, at: 0, lastEventSeq: 0, segments: [] });
  const events = (seq: number) => ({
    type: 'events',
    epoch: 'e',
    events: [{ seq, at: 1, kind: 'host.notice', severity: 'info', message: 'm' }],
  });
  return { session, receive, events, flow, commits, published };
}

it('stops reading while too many writes wait, and reads on when half of them are done', async () => {
  const { receive, events, flow, commits } = standing();
  for (let seq = 1; seq <= 16; seq += 1) receive(events(seq));
  expect(flow).toEqual([]);
  receive(events(17));
  expect(flow).toEqual(['pause']);
  for (let done = 0; done < 9; done += 1) {
    expect(flow).toEqual(['pause']);
    // One message at a time is with the store.
    expect(commits).toHaveLength(1);
    commits.pop()?.();
    await settle();
  }
  expect(flow).toEqual(['pause', 'resume']);
});

it('what was committed while the connection broke is told all the same: sent again it is no news', async () => {
  const { session, receive, events, commits, published } = standing();
  receive(events(1));
  receive(events(2));
  session.socketClosed('the connection broke');
  commits[0]?.();
  await settle();
  expect(published).toMatchObject([{ id: 1, host: 'h' }]);
  expect(commits).toHaveLength(1);
});
