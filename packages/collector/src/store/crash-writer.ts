/**
 * The victim of crash.test.ts: commits events and log pieces as fast as it can, several at once, and prints what was
 * acknowledged, one line each, until it is killed. Arguments: data directory, agent id, pieces in a log file at the most.
 */
import { systemClock } from '@relight/shared/clock';
import { packBlock } from '@relight/shared/log-block';
import { writeSync } from 'node:fs';
import { openStore } from './sqlite-store.ts';

const [dataDir = '', agentId = '', filePieces = '200000'] = process.argv.slice(2);
const logFileLimits = { fileBytesMax: 2 ** 30, filePiecesMax: Number(filePieces) };
const store = await openStore({ dataDir, clock: systemClock, logFileLimits });
const say = (line: string): void => void writeSync(1, `${line}\n`);
const segment = { workload: 'w', generation: 1, source: 'process', run: 'r' };

async function events(): Promise<never> {
  for (;;) {
    const first = store.lastEventSeq(agentId, 'e') + 1;
    const event = (seq: number) => ({ seq, at: seq, kind: 'host.notice' as const, severity: 'info' as const, message: `${seq}`, data: {} });
    const { seq } = await store.commitEvents(agentId, 'h', 'e', [event(first), event(first + 1), event(first + 2)], 1);
    say(`seq ${seq}`);
  }
}

/** Three pieces in flight, as a session has them. */
async function pieces(): Promise<never> {
  for (;;) {
    const start = store.committedOffset(agentId, segment);
    const commits = [0, 1, 2].map((index) => {
      const from = start + index * 1_000;
      const bytes = Buffer.alloc(999, `${from} `);
      const lines = [{ offset: from, at: 1, approx: false, stream: 'stdout' as const, bytes, truncated: false }];
      return store.commitBlock(agentId, 'h', packBlock(segment, from, from + 1_000, lines), 1);
    });
    for (const { committed } of await Promise.all(commits)) say(`offset ${committed}`);
  }
}

say('ready');
await Promise.all([events(), events(), pieces()]);
