/** An outbox on a faulty disk, with a collector that checks what arrives. */
import assert from 'node:assert/strict';
import type { AgentEvent, NewAgentEvent, Severity } from '@relight/shared/event';
import { ManualClock } from '@relight/shared/manual-clock';
import { FileOutbox } from '@relight/agent/outbox/file-outbox';
import type { FileOutboxOptions } from '@relight/agent/outbox/file-outbox-options';
import { FaultyDisk } from './faulty-disk.ts';

export const silentLogger = { info: () => undefined, warn: () => undefined, error: () => undefined };
export const outboxEvent = (message: string, severity: Severity = 'info'): NewAgentEvent => ({
  at: 1,
  kind: 'host.notice',
  severity,
  message,
  data: {},
});

type Limits = Pick<FileOutboxOptions, 'bytesMax' | 'fileBytesMax' | 'memoryBytesMax'>;

/** What can happen to any of them at any time, for models. */
export const happenings = ['deliver', 'unanswered', 'wait', 'bad', 'sound', 'read-only', 'full', 'writable'] as const;

/** An outbox on a faulty disk, and a collector that remembers everything and checks that no number has two meanings. */
export class OutboxWorld {
  readonly disk = new FaultyDisk();
  clock = new ManualClock();
  readonly received: AgentEvent[] = [];
  /** What append() has returned for, in order. */
  readonly appended: string[] = [];
  /** What was readable, and so must arrive whatever happens. */
  readonly promised = new Set<string>();
  /** A connection that takes at once whatever may leave, in the very call that says so; the answer comes later. */
  online = false;
  readonly #byNumber = new Map<string, string>();
  readonly #committed = new Map<string, number>();
  /** As far as the connection goes. */
  #sent: { readonly outbox: FileOutbox | null; readonly epoch: string; readonly seq: number } = { outbox: null, epoch: '', seq: 0 };
  readonly #limits: Limits;
  #epochs = 0;
  outbox: FileOutbox;

  constructor(limits: Limits = {}) {
    this.#limits = limits;
    this.outbox = this.#open();
  }

  #open(): FileOutbox {
    const newEpoch = (): string => `epoch-${++this.#epochs}`;
    const outbox = FileOutbox.open({
      directory: '',
      newEpoch,
      clock: this.clock,
      logger: silentLogger,
      disk: this.disk,
      fileBytesMax: 400,
      ...this.#limits,
    });
    outbox.onAppend(() => {
      while (this.online && this.outbox === outbox && !this.disk.dead && this.deliver(false));
    });
    return outbox;
  }

  append(severity?: Severity): void {
    const message = `event ${this.appended.length}`;
    this.outbox.append(outboxEvent(message, severity));
    if (this.disk.dead) this.reopen();
    else this.appended.push(message);
  }

  reopen(): void {
    this.disk.kill();
    this.clock = new ManualClock();
    this.outbox = this.#open();
  }

  settle(): void {
    this.disk.completeSyncs();
    this.clock.advance(2_000);
    this.disk.completeSyncs();
    for (const { kind, message } of this.readable()) if (kind !== 'log.gap') this.promised.add(message);
  }

  *readable(): Generator<AgentEvent> {
    for (let after = 0; ;) {
      const run = this.outbox.read(after, 3);
      if (run.length === 0) return;
      yield* run;
      after = run.at(-1)?.seq ?? 0;
    }
  }

  /** One message: the collector commits what it has not; the acknowledgement may get lost. */
  deliver(acknowledged: boolean): boolean {
    const { epoch, seq } = this.outbox.sending;
    const committed = this.#committed.get(epoch) ?? 0;
    // Of the epoch of its hello the agent is told how far the collector is; of others it knows what it has heard itself.
    const known = epoch === this.outbox.epoch ? Math.max(seq, committed) : seq;
    const sent = this.#sent.outbox === this.outbox && this.#sent.epoch === epoch ? this.#sent.seq : known;
    const run = this.outbox.read(sent, 2);
    for (const [index, item] of run.entries()) {
      assert.equal(item.seq, (run[0]?.seq ?? 0) + index, 'a run is consecutive');
      const number = `${epoch}/${item.seq}`;
      assert.equal(this.#byNumber.get(number) ?? item.message, item.message, `${number} has two meanings`);
      this.#byNumber.set(number, item.message);
      if (item.seq > committed) this.received.push(item);
    }
    const last = run.at(-1)?.seq ?? sent;
    this.#sent = { outbox: this.outbox, epoch, seq: last };
    this.#committed.set(epoch, Math.max(committed, last));
    if (acknowledged) this.outbox.acknowledge({ epoch, seq: Math.max(committed, last) });
    return run.length > 0;
  }

  /** The collector has events of the newest epoch that this outbox has never given, and says so. */
  setBack(seq: number): void {
    const { epoch } = this.outbox;
    this.#committed.set(epoch, seq);
    this.outbox.acknowledge({ epoch, seq });
  }

  /** One of `happenings`; what else a model does is its own. `number`: how long, or which file. */
  happens(what: string, number: number): void {
    if (what === 'deliver' || what === 'unanswered') this.deliver(what === 'deliver');
    if (what === 'wait') this.disk.completeSyncs();
    if (what === 'wait') this.clock.advance(number);
    const files = [...this.disk.files.keys()].filter((name) => name.endsWith('.events'));
    if (what === 'bad') this.disk.badFiles.add(files[number % Math.max(1, files.length)] ?? '');
    if (what === 'sound') this.disk.badFiles.clear();
    if (what === 'read-only') this.disk.readOnly = true;
    if (what === 'full') this.disk.full = true;
    if (what === 'writable') this.disk.readOnly = this.disk.full = false;
  }

  deliverAll(): void {
    this.disk.full = false;
    this.disk.readOnly = false;
    this.disk.aborted = false;
    // What comes next may have waited for an fsync, or for the acknowledgement after which a new epoch begins.
    for (let quiet = 0; quiet < 3;) {
      this.settle();
      quiet = this.deliver(true) ? 0 : quiet + 1;
    }
  }

  get messages(): string[] {
    return this.received.filter((item) => item.kind !== 'log.gap').map((item) => item.message);
  }

  get lost(): number {
    return this.received.filter((item) => item.kind === 'log.gap').reduce((sum, item) => sum + Number(item.data['events']), 0);
  }
}
