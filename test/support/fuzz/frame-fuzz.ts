/** Agents' WebSockets with frames that no agent sends, in an order that no agent keeps; and upgrades that are refused. */
import type { CollectorMessage } from '@relight/shared/protocol';
import { AgentWire, upgradeHead } from './agent-wire.ts';
import { events, hello, wireFrame, type Speaker } from './agent-frames.ts';
import type { Input } from './campaign.ts';
import type { CollectorTarget } from './collector-target.ts';
import type { FuzzAgents } from './fuzz-agents.ts';
import { mutated, mutatedBytes, nastyText, toText } from './mutate.ts';
import type { Randomness } from './randomness.ts';
import { frameBytes, opcodes } from './web-socket-bytes.ts';

export interface FrameFuzzOptions {
  readonly target: CollectorTarget;
  readonly hosts: readonly string[];
  readonly agents: FuzzAgents;
  /** Also frames that only their reader can see through. */
  readonly lies: () => boolean;
}

const framesMax = 40;
/** For the answer to a ping that a frame may have swallowed. */
const swallowedMs = 1_000;
/** For the answer to one that nothing has swallowed. */
const helloMs = 20_000;

/** One connection with all that is said on it. */
export function frameInput(random: Randomness, options: FrameFuzzOptions): Input {
  if (random.chance(0.15)) return refusedUpgrade(random, options);
  const { target, agents, lies } = options;
  const host = agents.take(random);
  const speaker: Speaker = {
    host,
    agentId: agents.idOf(host),
    machineId: `machine-of-${host}`,
    epoch: `epoch-${random.int(3)}`,
    seq: 0,
    offsets: new Map(),
  };
  // A host's own is let in once a second: with that alone most of what is drawn would never be sent.
  const token = random.chance(0.1) ? target.tokens.hosts[host] : target.tokens.agent;
  const sent: Buffer[] = [];
  const weight = 1 + random.int(framesMax);
  return {
    weight,
    what: () => `a connection as ${host}, the last frames: ${sent.slice(-4).map(shown).join(' | ')}`,
    async run() {
      const heard = { welcome: false, ack: false };
      const take = (message: CollectorMessage): void => {
        if (message.type === 'welcome' || message.type === 'ack') heard[message.type] = true;
        agents.heard(message);
        learn(speaker, message);
      };
      const wire = new AgentWire(target.endpoint, upgradeHead({ Authorization: `Bearer ${token}` }), take);
      try {
        if (!(await wire.opened()))
          return /^HTTP\/1\.1 (?:503|401)/.test(wire.answer) ? null : `a valid upgrade was refused: ${wire.answer.slice(0, 300)}`;
        const first = hello(random, speaker);
        const honest = random.chance(0.85);
        const greeting = toText(honest ? first : mutated(random, first));
        const frames = random.chance(0.05) ? [] : [textFrame(greeting)];
        await send(wire, frames, sent);
        if (frames.length > 0) {
          if (honest) agents.greeted();
          // What is numbered begins where the welcome says.
          await said(wire, honest ? helloMs : swallowedMs);
          if (honest && !heard.welcome) agents.turnedAway(host, speaker.agentId);
        }
        // That it is listened to: what is sent next is mostly gone before it is committed.
        if (honest && heard.welcome && random.chance(0.9)) {
          await send(wire, [textFrame(toText(events(random, speaker)))], sent);
          await until(wire, () => heard.ack, helloMs);
        }
        for (let count = 1; count < weight && !wire.closed; count += 1) await send(wire, [wireFrame(random, speaker, lies())], sent);
        await said(wire, swallowedMs);
        return null;
      } finally {
        wire.destroy();
        agents.giveBack(host);
      }
    },
  };
}

const textFrame = (text: string): Buffer => frameBytes({ opcode: opcodes.text, payload: Buffer.from(text), masked: true });

async function send(wire: AgentWire, frames: readonly Buffer[], sent: Buffer[]): Promise<void> {
  for (const frame of frames) {
    sent.push(frame);
    if (sent.length > 4) sent.shift();
    await wire.write(frame);
  }
}

/** Until it has taken all of it, or has had enough. A frame that says it is longer than what came swallows the ping. */
async function said(wire: AgentWire, patienceMs: number): Promise<void> {
  const before = wire.pongs;
  await wire.write(frameBytes({ opcode: opcodes.ping, payload: Buffer.alloc(0), masked: true }));
  await until(wire, () => wire.pongs > before, patienceMs);
}

/** Or until it is sent away, or leaves after this. */
async function until(wire: AgentWire, condition: () => boolean, patienceMs: number): Promise<void> {
  const patience = setTimeout(() => wire.destroy(), patienceMs);
  await wire.until(() => wire.dismissed || condition(), 'what was said to be taken');
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

interface Upgrade {
  readonly headers: Readonly<Record<string, string>>;
  /** Whether it is the token of an agent: whatever else is sent, nobody else is let in. */
  readonly agent: boolean;
  /** As the protocol wants it. */
  readonly right?: boolean;
}

function refusedUpgrade(random: Randomness, { target, hosts }: FrameFuzzOptions): Input {
  const { tokens } = target;
  const bearer = (token: string): Record<string, string> => ({ Authorization: `Bearer ${token}` });
  const version = random.int(20);
  const {
    headers,
    agent,
    right = false,
  } = random.pick<Upgrade>([
    { headers: {}, agent: false },
    { headers: bearer(tokens.view), agent: false },
    { headers: bearer(tokens.revoked), agent: false },
    { headers: bearer(`rla_${random.bytes(32).toString('base64url')}`), agent: false },
    {
      headers: { ...bearer(tokens.agent), 'Sec-WebSocket-Protocol': nastyText(random).replaceAll(/[^\u0020-\u007e]/g, '') },
      agent: true,
    },
    { headers: { ...bearer(tokens.hosts[random.pick(hosts)] ?? ''), 'Sec-WebSocket-Key': 'short' }, agent: true },
    // 8 is that of a draft of the same protocol.
    { headers: { ...bearer(tokens.agent), 'Sec-WebSocket-Version': String(version) }, agent: true, right: [8, 13].includes(version) },
  ]);
  const forwarded = { 'X-Forwarded-For': Array.from({ length: 4 }, () => random.int(256)).join('.') };
  const path = random.chance(0.5) ? '/agent/v1' : random.pick(['/', '/api/v1/stream', '/agent/v2', '/agent/v1?x=1', '//', '/%']);
  const whole = upgradeHead({ ...forwarded, ...headers }, path);
  const broken = random.chance(0.3);
  const head = broken ? mutatedBytes(random, whole) : whole;
  return {
    weight: 1,
    what: () => `an upgrade: ${JSON.stringify(head.toString('latin1'))}`,
    async run() {
      const wire = new AgentWire(target.endpoint, head, () => undefined);
      // Half of a head is waited for; a whole one is answered.
      const patience = broken ? setTimeout(() => wire.destroy(), 300) : undefined;
      const opened = await wire.opened();
      clearTimeout(patience);
      wire.destroy();
      const answer = wire.answer.slice(0, 300);
      const status = Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1] ?? 0);
      if (status >= 500 && status !== 503) return `it answered ${answer}`;
      if (opened && !agent) return 'somebody without the token of an agent was let in';
      if (broken) return null;
      if (opened && !right) return 'what is no agent of this protocol was let in';
      return agent || [401, 403, 429].includes(status) ? null : `without the token of an agent it answered ${answer}`;
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
