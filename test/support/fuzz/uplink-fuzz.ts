/**
 * The agent's way to the collector, in this process, with a collector that says anything: its parts are the real ones, the socket and
 * the clock are not. What it throws would end an agent.
 */
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Incidents } from '@relight/agent/incidents/incidents';
import { IncidentStore } from '@relight/agent/incidents/store';
import { FollowingShipper } from '@relight/agent/logs/following-shipper';
import { FileOutbox } from '@relight/agent/outbox/file-outbox';
import type { Socket, SocketListener } from '@relight/agent/uplink/socket';
import { Uplink, type UplinkOptions } from '@relight/agent/uplink/uplink';
import { closeReasonBytesMax } from '@relight/shared/close-reason';
import { ManualClock } from '@relight/shared/manual-clock';
import { clockSkewMsMax, type Hello } from '@relight/shared/protocol';
import { selfPortrait } from '../self-portrait.ts';
import type { Input } from './campaign.ts';
import { collectorText, welcome } from './collector-messages.ts';
import { mutated, toText } from './mutate.ts';
import type { Randomness } from './randomness.ts';

/** More than any wait before the next attempt, in steps that are shorter than any patience with one. */
const backAfterMs = 700_000;
const stepMs = 1_000;
const worker = { workload: 'worker', generation: 1, source: 'process', run: '1' } as const;
const logger = { info: () => undefined, warn: () => undefined, error: () => undefined } as unknown as UplinkOptions['logger'];

class PretendSocket implements Socket {
  readonly listener: SocketListener;
  readonly bufferedAmount = 0;
  hello: Hello | null = null;
  closed = false;

  constructor(listener: SocketListener) {
    this.listener = listener;
  }

  send(data: string | Uint8Array): void {
    if (typeof data === 'string' && this.hello === null) this.hello = JSON.parse(data) as Hello;
  }
  ping(): void {}
  close(code: number, reason: string): void {
    // As `ws` does, in the middle of whatever was being done.
    if (Buffer.byteLength(reason) > closeReasonBytesMax) throw new RangeError('The message must not be greater than 123 bytes');
    this.end(code);
  }
  terminate(): void {
    this.end(1006);
  }
  end(code: number): void {
    if (this.closed) return;
    this.closed = true;
    queueMicrotask(() => this.listener.closed({ code, reason: '' }));
  }
}

export class UplinkFuzz implements Disposable {
  readonly #directory: string;
  readonly #clock = new ManualClock();
  readonly #outbox: FileOutbox;
  readonly #shipper: FollowingShipper;
  readonly #uplink: Uplink;
  #socket: PretendSocket | null = null;
  #events = 0;

  constructor(parent: string, random: Randomness) {
    mkdirSync(parent, { recursive: true });
    this.#directory = mkdtempSync(join(parent, 'uplink-'));
    const clock = this.#clock;
    writeFileSync(join(this.#directory, 'run'), '');
    this.#outbox = FileOutbox.open({
      directory: join(this.#directory, 'outbox'),
      newEpoch: () => `epoch-${random.int(1e9)}`,
      clock,
      logger,
    });
    this.#shipper = new FollowingShipper({
      directory: join(this.#directory, 'logs'),
      clock,
      logger,
      delivering: true,
      rateLimit: () => null,
    });
    this.#shipper.follow({ key: worker, path: join(this.#directory, 'run'), format: 'raw' });
    const incidents = new Incidents({
      clock,
      store: new IncidentStore({ stateDir: this.#directory, host: 'h', warn: () => undefined }),
      workloads: () => ['worker'],
      random: () => random.next(),
      delivering: true,
      history: this.#outbox,
      gather: () => undefined,
    });
    this.#uplink = new Uplink({
      spec: { url: 'http://127.0.0.1:1', tokenFile: null, caFile: null, fingerprint: null, joinedFile: null },
      clock,
      random: () => random.next(),
      logger,
      outbox: this.#outbox,
      logs: this.#shipper,
      incidents,
      ...selfPortrait(),
      onAction: () => Promise.resolve({ ok: true, message: '' }),
      openSocket: (_, listener) => (this.#socket = new PretendSocket(listener)),
    });
    this.#uplink.start();
  }

  /** One connection with all that is said on it. */
  input(random: Randomness): Input {
    const weight = 1 + random.int(25);
    const texts: string[] = [];
    return {
      weight,
      what: () => `a collector said ${texts.slice(-3).join(' then ').slice(0, 3_000)}`,
      run: async () => {
        appendFileSync(join(this.#directory, 'run'), `line ${this.#events}\n`);
        this.#outbox.append({
          at: this.#clock.now(),
          kind: 'host.notice',
          severity: 'info',
          message: `event ${(this.#events += 1)}`,
          data: {},
        });
        const socket = await this.#dialled();
        if (socket === null) return 'the agent does not dial any more';
        socket.listener.opened();
        const { hello } = socket;
        if (hello === null) return 'the agent says no hello';
        const say = (text: string): void => {
          texts.push(text);
          socket.listener.alive();
          socket.listener.text(text);
          this.#clock.advance(random.int(300));
        };
        const first = welcome(random, hello);
        if (random.chance(0.95)) say(toText(random.chance(0.8) ? first : mutated(random, first)));
        for (let count = 1; count < weight && !socket.closed; count += 1) say(collectorText(random, hello, random.chance(0.5)));
        socket.end(1006);
        await Promise.resolve();
        const skewMs = this.#uplink.state().clock?.skewMs ?? 0;
        return Number.isInteger(skewMs) && Math.abs(skewMs) <= clockSkewMsMax ? null : `the agent believes in a skew of ${skewMs} ms`;
      },
    };
  }

  [Symbol.dispose](): void {
    this.#shipper.close();
    this.#outbox.close();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #dialled(): Promise<PretendSocket | null> {
    // The end of the connection before is told in the turn behind.
    for (let waited = 0; waited < backAfterMs && (this.#socket === null || this.#socket.closed); waited += stepMs) {
      await Promise.resolve();
      this.#clock.advance(stepMs);
    }
    return this.#socket?.closed === false ? this.#socket : null;
  }
}
