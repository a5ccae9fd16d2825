/** An agent as it should be, which sends lines and events while others do not: all of them arrive, once each. */
import { setTimeout as sleep } from 'node:timers/promises';
import { encodeBlock, packBlock } from '@relight/shared/log-block';
import type { CollectorMessage } from '@relight/shared/protocol';
import { AgentWire, upgradeHead } from './agent-wire.ts';
import type { CollectorTarget } from './collector-target.ts';
import { askHttp, HttpLine } from './http-line.ts';
import { frameBytes, opcodes } from './web-socket-bytes.ts';

const host = 'well-behaved';
const segment = { workload: 'worker', generation: 1, source: 'process', run: '1' };
const linesPerBlock = 5;
const pauseMs = 50;

export const wellBehavedHost = host;

export class WellBehaved {
  readonly #target: CollectorTarget;
  readonly #wire: AgentWire;
  #lines = 0;
  #offset = 0;
  #events = 0;
  #welcomed = false;
  #committed = 0;
  #committedEvents = 0;
  #rewound = false;
  #stopping = false;
  readonly #running: Promise<void>;

  constructor(target: CollectorTarget) {
    this.#target = target;
    this.#wire = new AgentWire(target.endpoint, upgradeHead({ Authorization: `Bearer ${target.tokens.hosts[host] ?? ''}` }), (message) =>
      this.#take(message),
    );
    this.#running = this.#run();
    // Told by `finish`.
    this.#running.catch(() => undefined);
  }

  /** Sends what is left, and compares what the collector has with what was sent. */
  async finish(): Promise<{ readonly lines: number; readonly events: number }> {
    this.#stopping = true;
    await this.#running;
    this.#wire.destroy();
    const line = new HttpLine(this.#target.endpoint, 1);
    try {
      const ask = async (path: string): Promise<string> => {
        const { status, body } = await askHttp(line, 'GET', path, { authorization: `Bearer ${this.#target.tokens.view}` }, null, Infinity);
        if (status !== 200) throw new Error(`${path} answered ${status}: ${body.slice(0, 300)}`);
        return body;
      };
      await this.#compareLines(ask);
      await this.#compareEvents(ask);
      return { lines: this.#lines, events: this.#events };
    } finally {
      line.close();
    }
  }

  async #compareLines(ask: (path: string) => Promise<string>): Promise<void> {
    const said = (await ask(`/api/v1/logs?host=${host}`)).split('\n').filter((text) => text !== '');
    const lines = said.map((text) => (JSON.parse(text) as { line?: string }).line);
    const wrong = lines.findIndex((line, index) => line !== `line ${index}`);
    if (wrong >= 0) throw new Error(`"${lines[wrong] ?? said[wrong]}" stands where line ${wrong} should`);
    if (lines.length !== this.#lines) throw new Error(`${lines.length} of ${this.#lines} lines have arrived`);
  }

  async #compareEvents(ask: (path: string) => Promise<string>): Promise<void> {
    let [after, expected] = ['', 0];
    for (;;) {
      const { items, next } = JSON.parse(await ask(`/api/v1/events?host=${host}&kind=setup.step-done&order=asc&limit=1000${after}`)) as {
        items: { message: string }[];
        next: string | null;
      };
      for (const { message } of items) {
        if (message !== `event ${expected + 1}`) throw new Error(`"${message}" stands where event ${expected + 1} should`);
        expected += 1;
      }
      if (next === null) break;
      after = `&after=${encodeURIComponent(next)}`;
    }
    if (expected !== this.#events) throw new Error(`${expected} of ${this.#events} events have arrived`);
  }

  async #run(): Promise<void> {
    if (!(await this.#wire.opened())) throw new Error(`the agent that behaves well is refused: ${this.#wire.answer}`);
    const hello = {
      agentId: `agent-${host}`,
      machineId: 'machine-w',
      epoch: 'epoch',
      bootId: 'boot',
      host,
      labels: {},
      version: '0.1.0',
      facts: {},
    };
    await this.#say({ type: 'hello', protocol: 1, ...hello, remoteActions: false, at: Date.now(), lastEventSeq: 0, segments: [segment] });
    await this.#wire.until(() => this.#welcomed, 'the welcome of the agent that behaves well');
    while (!this.#stopping || this.#lines === 0) {
      await this.#sendMore();
      await this.#wire.until(
        () => this.#committed === this.#offset && this.#committedEvents === this.#events,
        'what the agent that behaves well has sent to be committed',
      );
      if (this.#rewound) throw new Error('the agent that behaves well was sent back');
      if (this.#wire.closed) throw new Error('the collector has ended the connection of the agent that behaves well');
      await sleep(pauseMs);
    }
  }

  async #sendMore(): Promise<void> {
    const from = this.#offset;
    const lines = Array.from({ length: linesPerBlock }, () => {
      const bytes = Buffer.from(`line ${this.#lines}`);
      const line = { offset: this.#offset, at: Date.now(), approx: false, stream: 'both' as const, bytes, truncated: false };
      this.#lines += 1;
      this.#offset += bytes.length + 1;
      return line;
    });
    const block = encodeBlock(packBlock(segment, from, this.#offset, lines));
    await this.#wire.write(frameBytes({ opcode: opcodes.binary, payload: block, masked: true }));
    this.#events += 1;
    const event = {
      seq: this.#events,
      at: Date.now(),
      kind: 'setup.step-done',
      severity: 'info',
      message: `event ${this.#events}`,
      data: {},
    };
    await this.#say({ type: 'events', epoch: 'epoch', events: [event] });
    await this.#say({ type: 'heartbeat', at: Date.now(), engine: 'up', workloads: [] });
  }

  #say(message: object): Promise<void> {
    return this.#wire.write(frameBytes({ opcode: opcodes.text, payload: Buffer.from(JSON.stringify(message)), masked: true }));
  }

  #take(message: CollectorMessage): void {
    if (message.type === 'welcome') this.#welcomed = true;
    if (message.type !== 'ack') return;
    if (message.events !== undefined) this.#committedEvents = message.events.seq;
    for (const { offset, rewind } of message.segments) {
      this.#committed = offset;
      this.#rewound ||= rewind;
    }
  }
}
