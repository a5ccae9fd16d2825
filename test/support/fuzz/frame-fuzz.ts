/** Agents' WebSockets with frames that no agent sends, in an order that no agent keeps; and upgrades that are refused. */
import type { CollectorMessage } from '@relight/shared/protocol';
import { AgentWire, upgradeHead } from './agent-wire.ts';
import { hello, wireFrame, type Speaker } from './agent-frames.ts';
import type { Input } from './campaign.ts';
import type { CollectorTarget } from './collector-target.ts';
import { mutated, mutatedBytes, nastyText, toText } from './mutate.ts';
import type { Randomness } from './randomness.ts';
import { frameBytes, opcodes } from './web-socket-bytes.ts';

export interface FrameFuzzOptions {
  readonly target: CollectorTarget;
  readonly hosts: readonly string[];
  /** Also frames that only their reader can see through. */
  readonly lies: () => boolean;
}

const framesMax = 40;

/** One connection with all that is said on it. */
export function frameInput(random: Randomness, options: FrameFuzzOptions): Input {
  if (random.chance(0.15)) return refusedUpgrade(random, options);
  const { target, hosts, lies } = options;
  const host = random.pick(hosts);
  const speaker: Speaker = {
    host,
    agentId: `agent-of-${host}`,
    machineId: `machine-of-${host}`,
    epoch: `epoch-${random.int(3)}`,
    seq: 0,
    offsets: new Map(),
  };
  const token = random.chance(0.8) ? target.tokens.hosts[host] : target.tokens.agent;
  const sent: Buffer[] = [];
  const weight = 1 + random.int(framesMax);
  return {
    weight,
    what: () => `a connection as ${host}, the last frames: ${sent.slice(-4).map(shown).join(' | ')}`,
    async run() {
      const wire = new AgentWire(target.endpoint, upgradeHead({ Authorization: `Bearer ${token}` }), (message) => learn(speaker, message));
      try {
        if (!(await wire.opened()))
          return /^HTTP\/1\.1 (?:503|401)/.test(wire.answer) ? null : `a valid upgrade was refused: ${wire.answer.slice(0, 300)}`;
        const first = hello(random, speaker);
        const greeting = toText(random.chance(0.85) ? first : mutated(random, first));
        const frames = random.chance(0.05) ? [] : [frameBytes({ opcode: opcodes.text, payload: Buffer.from(greeting), masked: true })];
        await send(wire, frames, sent);
        // What is numbered begins where the welcome says.
        if (frames.length > 0) await said(wire);
        for (let count = 1; count < weight && !wire.closed; count += 1) await send(wire, [wireFrame(random, speaker, lies())], sent);
        await said(wire);
        return null;
      } finally {
        wire.destroy();
      }
    },
  };
}

async function send(wire: AgentWire, frames: readonly Buffer[], sent: Buffer[]): Promise<void> {
  for (const frame of frames) {
    sent.push(frame);
    if (sent.length > 4) sent.shift();
    await wire.write(frame);
  }
}

/** Until it has taken all of it, or has had enough. A frame that says it is longer than what came swallows the ping. */
async function said(wire: AgentWire): Promise<void> {
  const before = wire.pongs;
  await wire.write(frameBytes({ opcode: opcodes.ping, payload: Buffer.alloc(0), masked: true }));
  const patience = setTimeout(() => wire.destroy(), 1_000);
  await wire.until(() => wire.pongs > before, 'what was said to be taken');
  clearTimeout(patience);
}

function learn(speaker: Speaker, message: CollectorMessage): void {
  if (message.type === 'welcome') speaker.seq = message.lastEventSeq;
  if (message.type !== 'welcome' && message.type !== 'ack') return;
  for (const { segment, offset } of message.segments) {
    const { workload, generation, source, run } = segment;
    speaker.offsets.set(JSON.stringify({ workload, generation, source, run }), offset);
  }
}

function refusedUpgrade(random: Randomness, { target, hosts }: FrameFuzzOptions): Input {
  const headers: Record<string, string> = {
    'X-Forwarded-For': Array.from({ length: 4 }, () => random.int(256)).join('.'),
    ...random.pick<Record<string, string>>([
      {},
      { Authorization: `Bearer ${target.tokens.view}` },
      { Authorization: `Bearer ${target.tokens.revoked}` },
      { Authorization: `Bearer rla_${random.bytes(32).toString('base64url')}` },
      { Authorization: `Bearer ${target.tokens.agent}`, 'Sec-WebSocket-Protocol': nastyText(random).replaceAll(/[^\u0020-\u007e]/g, '') },
      { Authorization: `Bearer ${target.tokens.hosts[random.pick(hosts)] ?? ''}`, 'Sec-WebSocket-Key': 'short' },
      { Authorization: `Bearer ${target.tokens.agent}`, 'Sec-WebSocket-Version': String(random.int(20)) },
    ]),
  };
  const path = random.chance(0.5) ? '/agent/v1' : random.pick(['/', '/api/v1/stream', '/agent/v2', '/agent/v1?x=1', '//', '/%']);
  const whole = upgradeHead(headers, path);
  const head = random.chance(0.3) ? mutatedBytes(random, whole) : whole;
  return {
    weight: 1,
    what: () => `an upgrade: ${JSON.stringify(head.toString('latin1'))}`,
    async run() {
      const wire = new AgentWire(target.endpoint, head, () => undefined);
      const patience = setTimeout(() => wire.destroy(), 300);
      await wire.opened();
      clearTimeout(patience);
      wire.destroy();
      const status = Number(/^HTTP\/1\.1 (\d+)/.exec(wire.answer)?.[1] ?? 0);
      return status >= 500 && status !== 503 ? `it answered ${wire.answer.slice(0, 300)}` : null;
    },
  };
}

const shown = (frame: Buffer): string => {
  const masked = frame.subarray(0, 2_000);
  const short = (masked[1] ?? 0) & 127;
  const start = 2 + (short === 126 ? 2 : short === 127 ? 8 : 0);
  const key = masked.subarray(start, start + 4);
  const text = masked.subarray(start + 4).map((byte, index) => byte ^ (key[index & 3] ?? 0));
  return JSON.stringify(Buffer.from(text).toString('latin1'));
};
