/** Every message that an agent may send, as it should be, and then otherwise. */
import { crc32 } from 'node:zlib';
import { encodeBlock, packBlock, type Block } from '@relight/shared/log-block';
import { eventKinds, severities } from '@relight/shared/event';
import { phases } from '@relight/shared/phase';
import { mutated, mutatedBytes, mutatedText, nastyText, nastyValue, toText, type Json } from './mutate.ts';
import type { Randomness } from './randomness.ts';
import { frameBytes, opcodes } from './web-socket-bytes.ts';

/** Who speaks: names come from a small store, or every input would leave a host behind. */
export interface Speaker {
  readonly host: string;
  readonly agentId: string;
  readonly machineId: string;
  /** Of an agent on this connection. */
  readonly epoch: string;
  seq: number;
  readonly offsets: Map<string, number>;
}

const workloads = ['trainer', 'ray-worker', 'eval'];
const sources = ['container', 'process', 'setup', 'mount', 'agent', 'file:raylet.out'];

const segmentOf = (random: Randomness) => ({
  workload: random.pick(workloads),
  generation: 1 + random.int(3),
  source: random.pick(sources),
  run: `run-${random.int(3)}`,
});

export const hello = (random: Randomness, speaker: Speaker): Json => ({
  type: 'hello',
  protocol: 1,
  agentId: speaker.agentId,
  machineId: speaker.machineId,
  epoch: speaker.epoch,
  bootId: `boot-${random.int(3)}`,
  host: speaker.host,
  labels: { pool: 'fuzz', slice: `s${random.int(2)}` },
  version: '0.1.0',
  facts: { os: 'Debian', cpuCores: 8, memoryTotalBytes: 2 ** 34, gpus: ['L4'] },
  remoteActions: random.chance(0.9),
  at: Date.now(),
  lastEventSeq: speaker.seq,
  segments: Array.from({ length: random.int(4) }, () => segmentOf(random)),
});

const heartbeat = (random: Randomness): Json => ({
  type: 'heartbeat',
  at: Date.now(),
  engine: random.pick(['up', 'down']),
  workloads: workloads.slice(random.int(3)).map((name) => ({
    name,
    phase: random.pick(phases),
    phaseSince: Date.now() - random.int(1e6),
    reason: 'a reason',
    stage: random.chance(0.5) ? 'setup 2/5: ssh keys' : null,
    stageSince: random.chance(0.5) ? Date.now() : null,
    attempt: random.int(4),
    nextAttemptAt: random.chance(0.3) ? Date.now() + 1_000 : null,
    waitingFor: random.chance(0.2) ? '10.0.0.1:6379' : null,
    generation: 1 + random.int(3),
    containerId: 'c0ffee',
    image: 'image:1',
    readyAt: random.chance(0.5) ? Date.now() : null,
    restarts: { process: random.int(3), container: 0, host: 0 },
    lastIncidentId: null,
    metrics: null,
  })),
  metrics: {
    at: Date.now(),
    load1: 0.5,
    cpuUsed: 0.3,
    memoryTotalBytes: 2 ** 34,
    disks: [{ path: '/', totalBytes: 1e12, freeBytes: 1e11 }],
  },
  conditions: [
    { name: 'disk-low', subject: '/', severity: random.pick(severities), since: Date.now(), reason: 'little is left', advice: 'free some' },
  ],
  accelerators: [{ kind: 'gpu', index: 0, id: 'GPU-1', model: 'L4', health: 'ok', reason: '', action: '', metrics: { utilisation: 0.4 } }],
  gate: { state: 'open', since: Date.now(), reason: '', deadlineAt: null, conditions: [{ name: 'quiet', ok: true, message: '' }] },
});

export function events(random: Randomness, speaker: Speaker): Json {
  const count = 1 + random.int(5);
  const list = Array.from({ length: count }, () => ({
    seq: (speaker.seq += 1),
    at: Date.now() - random.int(1e6),
    kind: random.pick(eventKinds),
    severity: random.pick(severities),
    workload: random.pick(workloads),
    generation: random.int(3),
    message: 'something has happened',
    data: { code: 'process-exited', exitCode: random.int(256), level: random.pick(['process', 'container']) },
  }));
  return { type: 'events', epoch: speaker.epoch, events: list };
}

function gap(random: Randomness, speaker: Speaker): Json {
  const segment = segmentOf(random);
  const from = speaker.offsets.get(JSON.stringify(segment)) ?? 0;
  const to = from + 1 + random.int(500);
  speaker.offsets.set(JSON.stringify(segment), to);
  return { type: 'gap', segment, from, to, lines: 3, bytes: to - from, reason: 'rate limit', at: Date.now() };
}

const incident = (random: Randomness): Json => ({
  type: 'incident',
  incident: {
    id: `20260131-120000-fuzz${random.int(50)}`,
    revision: 1 + random.int(5),
    workload: random.pick(workloads),
    generation: 1,
    openedAt: Date.now() - 1_000,
    closedAt: random.chance(0.5) ? Date.now() : null,
    cause: 'the process exited with 1',
    code: 'process-exited',
    level: random.pick(['process', 'container', 'host']),
    advice: 'Read its last lines.',
    exitCode: 1,
    signal: null,
    oomKilled: false,
    failedAt: Date.now() - 1_500,
    timeToDetectMs: 3,
    timeToRecoverMs: random.chance(0.5) ? 900 : null,
    attempts: { process: 1, container: 0, host: 0 },
    escalations: 0,
    byHand: false,
    stages: [{ stage: 'create', ms: 30 }],
    timeline: [{ at: Date.now(), kind: 'process.exited', severity: 'error', message: 'it exited', generation: 1, data: { exitCode: 1 } }],
    omitted: 0,
    evidence: [{ name: 'inspect', title: 'The container', at: Date.now(), bytes: 20 }],
  },
});

const evidence = (random: Randomness): Json => ({
  type: 'incident-evidence',
  incident: `20260131-120000-fuzz${random.int(50)}`,
  item: { name: random.pick(['inspect', 'log:process', 'kernel']), title: 'The container', at: Date.now(), bytes: 20 },
  body: random.bytes(random.int(60)).toString('base64'),
});

const actionResult = (random: Randomness): Json => ({
  type: 'action-result',
  id: `action-${random.int(9)}`,
  ok: random.chance(0.5),
  message: 'done',
});

const goodbye = (random: Randomness): Json => ({ type: 'goodbye', reason: random.pick(['stopped', 'rebooting']) });

function block(random: Randomness, speaker: Speaker): Block {
  const segment = segmentOf(random);
  const key = JSON.stringify(segment);
  let offset = speaker.offsets.get(key) ?? 0;
  const from = offset;
  const lines = Array.from({ length: 1 + random.int(12) }, () => {
    const bytes = Buffer.from(
      `ERROR step ${random.int(1e6)} ${random.chance(0.1) ? nastyText(random).slice(0, 200) : 'loss=0.1'}`.replaceAll('\n', ' '),
    );
    const line = { offset, at: Date.now(), approx: random.chance(0.1), stream: 'both' as const, bytes, truncated: false };
    offset += bytes.length + 1;
    return line;
  });
  speaker.offsets.set(key, offset);
  return packBlock(segment, from, offset, lines);
}

const messages = [heartbeat, events, events, gap, incident, evidence, actionResult, goodbye, hello] as const;

/** As a well-behaved agent would put it on the wire, but for what is mutated; `lies`: blocks whose body is not what their header says. */
export function wireFrame(random: Randomness, speaker: Speaker, lies: boolean): Buffer {
  if (random.chance(0.25)) return blockFrame(random, speaker, lies);
  const message = random.pick(messages)(random, speaker);
  const said = random.chance(0.45) ? message : random.chance(0.97) ? mutated(random, message) : nastyValue(random);
  const text = toText(said);
  const payload = Buffer.from(random.chance(0.06) ? mutatedText(random, text) : text);
  return brokenFraming(random, opcodes.text, random.chance(0.03) ? mutatedBytes(random, payload) : payload);
}

function blockFrame(random: Randomness, speaker: Speaker, lies: boolean): Buffer {
  const good = block(random, speaker);
  if (random.chance(0.5)) return brokenFraming(random, opcodes.binary, encodeBlock(good));
  if (lies) return brokenFraming(random, opcodes.binary, encodeBlock(lying(random, good)));
  // A header that still fits but says something else would be a lie; a body that was changed under its checksum is none.
  if (random.chance(0.4))
    return brokenFraming(random, opcodes.binary, encodeBlock({ header: good.header, body: mutatedBytes(random, Buffer.from(good.body)) }));
  if (random.chance(0.2)) return brokenFraming(random, opcodes.binary, random.bytes(random.int(100)));
  const segment = mutated(random, { ...good.header.segment });
  const header = Buffer.from(toText({ ...good.header, segment } as unknown as Json));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(random.chance(0.9) ? header.length : random.int(2 ** 32));
  return brokenFraming(random, opcodes.binary, Buffer.concat([length, header, good.body]));
}

/** Everything that a collector looks at before it commits is right. */
function lying(random: Randomness, { header, body }: Block): Block {
  const { filterBytes: _, crc: __, ...rest } = header;
  if (random.chance(0.3)) return { header: mutated(random, rest) as unknown as Block['header'], body };
  const bytes = random.chance(0.8) ? mutatedBytes(random, Buffer.from(body)) : random.bytes(random.int(200));
  const lines = random.chance(0.3) ? random.pick([1, 2, 10_000_000]) : header.lines;
  const times = random.chance(0.3) ? { firstAt: random.pick([-1, 0, 8.64e15, 1e17]) } : {};
  return { header: { ...rest, lines, ...times, ...(random.chance(0.5) ? { crc: crc32(bytes) } : {}) }, body: bytes };
}

function brokenFraming(random: Randomness, opcode: number, payload: Buffer): Buffer {
  const masked = true;
  if (random.chance(0.97)) return frameBytes({ opcode, payload, masked });
  switch (random.int(8)) {
    case 0:
      return frameBytes({ opcode, payload, masked: false });
    case 1:
      return frameBytes({ opcode: random.int(16), payload: payload.subarray(0, 125), masked });
    case 2:
      return frameBytes({ opcode, payload, masked, reserved: 1 + random.int(7) });
    case 3:
      return frameBytes({ opcode, payload, masked, length: random.pick([2 ** 20 + 1, 2 ** 31, 2 ** 53, 0]) });
    case 4:
      return frameBytes({ opcode: opcodes.close, payload: random.bytes(random.int(125)), masked });
    case 5:
      return Buffer.concat([
        frameBytes({ opcode, payload: payload.subarray(0, 3), fin: false, masked }),
        frameBytes({ opcode: opcodes.ping, payload: Buffer.from('p'), masked }),
        frameBytes({ opcode: opcodes.continuation, payload: payload.subarray(3), masked }),
      ]);
    case 6:
      return Buffer.concat(
        Array.from({ length: 50 }, () => frameBytes({ opcode: opcodes.ping, payload: random.bytes(random.int(125)), masked })),
      );
    default:
      return frameBytes({ opcode, payload: Buffer.alloc(random.chance(0.1) ? 1024 * 1024 + 1 : 20_000, 0x20), masked });
  }
}
