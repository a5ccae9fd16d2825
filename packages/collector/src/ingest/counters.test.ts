import { ManualClock } from '@relight/shared/manual-clock';
import { packBlock } from '@relight/shared/log-block';
import { expect, test } from 'vitest';
import { metricsText } from '../api/metrics-text.ts';
import type { LogCommit, Store } from '../store/store.ts';
import { IngestCounters } from './counters.ts';

const segment = { workload: 'w', generation: 1, source: 'process', run: 'r1' };
const block = packBlock(segment, 0, 6, [
  { offset: 0, at: 1, approx: false, stream: 'stdout', bytes: Buffer.from('ab'), truncated: false },
  { offset: 3, at: 1, approx: false, stream: 'stdout', bytes: Buffer.from('cd'), truncated: false },
]);
const gap = { type: 'gap' as const, segment, from: 6, to: 9, reason: 'rotated', at: 1 };
const event = { kind: 'host.notice' as const, severity: 'info' as const, message: 'm', at: 1, data: {} };

/** Answers each piece with the next of `answers`; takes 3 ms for each. */
function setUp(answers: readonly (LogCommit | Error)[]) {
  const clock = new ManualClock();
  const left = [...answers];
  const answer = async (): Promise<LogCommit> => {
    clock.advance(3);
    const next = left.shift();
    if (next instanceof Error) throw next;
    return next ?? { committed: 0, stored: false, rewind: false };
  };
  const store: Pick<Store, 'commitEvents' | 'commitBlock' | 'commitGap'> = {
    commitEvents: async (_agent, host, _epoch, events, receivedAt) => ({
      seq: 2,
      stored: events.slice(1).map((sent) => ({ ...sent, id: 1, host, receivedAt, workload: null, generation: null })),
    }),
    commitBlock: answer,
    commitGap: answer,
  };
  const counters = new IngestCounters();
  const text = () => metricsText(counters.families({ connections: 3, pending: 4 })).split('\n');
  return { watched: counters.watch(store, clock), counters, text };
}
const stored = { committed: 6, stored: true, rewind: false, id: 1 };

test('what is stored is counted once; duplicates and rewinds by themselves', async () => {
  const { watched, text } = setUp([
    stored,
    { committed: 6, stored: false, rewind: false },
    { committed: 0, stored: false, rewind: true },
    stored,
  ]);
  for (let n = 0; n < 3; n += 1) await watched.commitBlock('a', 'h', block, 1);
  await watched.commitGap('a', 'h', gap, 1);
  await watched.commitEvents(
    'a',
    'h',
    'e',
    [1, 2, 3].map((seq) => ({ ...event, seq })),
    1,
  );
  expect(text()).toEqual(
    expect.arrayContaining([
      'relight_ingest_blocks_total 1',
      'relight_ingest_lines_total 2',
      `relight_ingest_bytes_total ${block.header.rawBytes}`,
      'relight_ingest_gaps_total 1',
      'relight_ingest_rewinds_total 1',
      'relight_ingest_duplicates_total{kind="piece"} 1',
      'relight_ingest_duplicates_total{kind="event"} 1',
      'relight_ingest_events_total 2',
      'relight_ingest_commit_failures_total 0',
    ]),
  );
});

test('a failed write is no stored one, and its error goes on', async () => {
  const { watched, text } = setUp([new Error('full')]);
  await expect(watched.commitBlock('a', 'h', block, 1)).rejects.toThrow('full');
  expect(text()).toEqual(expect.arrayContaining(['relight_ingest_commit_failures_total 1', 'relight_ingest_blocks_total 0']));
});

test('commit times as a cumulative histogram', async () => {
  const { watched, text } = setUp([stored, stored]);
  await watched.commitBlock('a', 'h', block, 1);
  await watched.commitBlock('a', 'h', block, 1);
  const name = 'relight_ingest_commit_duration_seconds';
  expect(text()).toEqual(
    expect.arrayContaining([
      `# TYPE ${name} histogram`,
      `${name}_bucket{le="0.0025"} 0`,
      `${name}_bucket{le="0.005"} 2`,
      `${name}_bucket{le="10"} 2`,
      `${name}_bucket{le="+Inf"} 2`,
      `${name}_sum 0.006`,
      `${name}_count 2`,
    ]),
  );
});

test('connections, frames and refusals; a reason that never occurred is 0', () => {
  const { counters, text } = setUp([]);
  counters.opened();
  counters.received(10, false);
  counters.received(200, true);
  counters.refused('overloaded');
  counters.unread();
  expect(text()).toEqual(
    expect.arrayContaining([
      'relight_ingest_connections 3',
      'relight_ingest_queue_messages 4',
      'relight_ingest_sessions_total 1',
      'relight_ingest_unread_total 1',
      'relight_ingest_messages_total{frame="text"} 1',
      'relight_ingest_messages_total{frame="binary"} 1',
      'relight_ingest_received_bytes_total 210',
      'relight_ingest_rejected_upgrades_total{code="overloaded"} 1',
      'relight_ingest_rejected_upgrades_total{code="unauthorized"} 0',
    ]),
  );
});
