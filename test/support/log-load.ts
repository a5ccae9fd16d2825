/** A host of its own that sends log lines at a steady rate, from blocks that were made beforehand: load for whoever measures something else. */
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentClient } from '../../packages/collector/src/ingest/agent-client.ts';
import { packBlock, type Block, type RawLine } from '@relight/shared/log-block';
import { logShapes } from './log-shapes.ts';

export interface LogLoad extends AsyncDisposable {
  /** That the collector has taken for good. */
  readonly acknowledged: number;
  readonly sent: number;
}

const rawBytesPerBlock = 180 * 1024;
const blocksMade = 64;
/** As an agent: so many wait for their acknowledgement. */
const blocksInFlight = 4;

/** `token`: of an agent. Blocks go round and round, each round as another run, so that none is a duplicate. */
export async function startLoad(url: string, token: string, linesPerSecond: number): Promise<LogLoad> {
  const blocks = makeBlocks();
  const client = new AgentClient(url, token);
  await client.hello({ agentId: 'load-agent', machineId: 'load-machine', host: 'load' });
  let sent = 0;
  let acknowledged = 0;
  const end = new AbortController();
  const waiting: number[] = [];
  const acks = (async () => {
    while (!end.signal.aborted) {
      await client.next('ack');
      acknowledged += waiting.shift() ?? 0;
    }
  })().catch(() => undefined);
  const sending = (async () => {
    const began = performance.now();
    for (let index = 0; !end.signal.aborted;) {
      const due = ((performance.now() - began) / 1_000) * linesPerSecond;
      const { header, body } = blocks[index % blocks.length] as Block;
      if (sent + header.lines > due || waiting.length >= blocksInFlight) {
        await sleep(2);
        continue;
      }
      const segment = { ...header.segment, run: String(Math.floor(index / blocks.length)) };
      client.sendBlock({ header: { ...header, segment }, body });
      waiting.push(header.lines);
      sent += header.lines;
      index += 1;
    }
  })();
  return {
    get acknowledged() {
      return acknowledged;
    },
    get sent() {
      return sent;
    },
    async [Symbol.asyncDispose]() {
      end.abort();
      await sending;
      client.socket.terminate();
      await acks;
    },
  };
}

function makeBlocks(): Block[] {
  const blocks: Block[] = [];
  let offset = 0;
  for (const { bytes } of logShapes(11).chunks(blocksMade * 1_500, rawBytesPerBlock)) {
    const lines: RawLine[] = [];
    const from = offset;
    for (let start = 0; start < bytes.length;) {
      const end = bytes.indexOf(10, start);
      lines.push({
        offset: from + start,
        at: Date.now(),
        approx: false,
        stream: 'stdout',
        bytes: bytes.subarray(start, end),
        truncated: false,
      });
      start = end + 1;
    }
    offset += bytes.length;
    blocks.push(packBlock({ workload: 'load', generation: 1, source: 'process', run: '0' }, from, offset, lines));
  }
  return blocks;
}
