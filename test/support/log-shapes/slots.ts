/** What stands in the braces of a template: `{int:1:32}` and the like become functions that write bytes. */
import type { LineWriter } from './line-writer.ts';
import { vocabulary } from './templates.ts';

type Slot = (out: LineWriter) => void;

const encoder = new TextEncoder();
const utf8 = (text: string): Uint8Array => encoder.encode(text);

/** Things that are named again and again for a while and then never more: nodes, workers, requests. */
class Pool {
  readonly #items: Uint8Array[] = [];
  readonly #size: number;
  readonly #renewed: number;
  readonly #make: Slot;

  /** One time in `1 / renewed` the thing named is a new one, in the place of an old one. */
  constructor(size: number, renewed: number, make: Slot) {
    this.#size = size;
    this.#renewed = renewed;
    this.#make = make;
  }

  readonly slot: Slot = (out) => {
    const index = out.below(this.#size);
    const known = this.#items[index];
    if (known !== undefined && out.fraction() >= this.#renewed) return out.text(known);
    const start = out.at;
    this.#make(out);
    this.#items[index] = Uint8Array.prototype.slice.call(out.bytes, start, out.at);
  };
}

/** A value that moves on from where it was: loss, usage. */
class Walk {
  #value: number;
  readonly #places: number;
  readonly #between: readonly [number, number];

  constructor(low: number, high: number, places: number) {
    [this.#value, this.#places, this.#between] = [(low + high) / 2, places, [low, high]];
  }

  readonly slot: Slot = (out) => {
    const [low, high] = this.#between;
    const next = this.#value + (out.fraction() - 0.5) * 0.02 * (high - low);
    this.#value = Math.min(high, Math.max(low, next));
    out.decimal(this.#value, this.#places);
  };
}

/** What one stream remembers from record to record. */
export class StreamSlots {
  #count = 0;
  #same = 0;
  readonly #pools = new Map<string, Slot>();

  constructor() {
    const random =
      (length: number): Slot =>
      (out) =>
        out.hex(length);
    const processId: Slot = (out) => out.integer(200 + out.below(60_000));
    const host: Slot = (out) => {
      hostPrefix(out);
      out.hex(4);
      out.byte(0x2d);
      out.integer(out.below(64));
    };
    const pools: Record<string, Pool> = {
      node: new Pool(32, 0.0005, random(56)),
      worker: new Pool(512, 0.05, random(56)),
      actor: new Pool(256, 0.2, random(32)),
      request: new Pool(64, 0.4, random(32)),
      trace: new Pool(64, 0.4, random(32)),
      reconcile: new Pool(32, 0.4, writeUuid),
      ip: new Pool(200, 0.01, writeAddress),
      client: new Pool(100, 0.15, sequence(writeAddress, colon, port)),
      member: new Pool(48, 0.001, sequence(literal('pid='), processId, literal(', ip='), writeAddress)),
      host: new Pool(64, 0.001, host),
      pid: new Pool(300, 0.02, processId),
      user: new Pool(5_000, 0.05, sequence(literal('u_'), random(10))),
      peer: new Pool(5, 0, random(16)),
      // A stream is of one program on one host.
      self: new Pool(1, 0, processId),
      thread: new Pool(6, 0, processId),
      me: new Pool(1, 0, host),
      rank: new Pool(1, 0, (out) => out.integer(out.below(64))),
    };
    for (const [name, { slot }] of Object.entries(pools)) this.#pools.set(name, slot);
    this.#pools.set('loss', new Walk(0.8, 6, 4).slot);
    this.#pools.set('cache', new Walk(0, 100, 1).slot);
    this.#pools.set('accuracy', new Walk(0.2, 0.92, 4).slot);
    this.#pools.set('hits', new Walk(0, 90, 1).slot);
  }

  /** @throws Error on a slot that no one knows. */
  slot(text: string): Slot {
    const [name = '', ...rest] = text.split(':');
    const [first = 0, second = 0, third = 1] = rest.map(Number);
    switch (name) {
      case 'int':
        return (out) => out.integer((this.#same = first + out.below(second - first + 1)), third);
      case 'same':
        return (out) => out.integer(this.#same);
      case 'log':
        return (out) => out.integer(Math.floor(logUniform(out, first, second)));
      case 'u':
        return (out) => out.decimal(first + out.fraction() * (second - first), third);
      case 'f':
        return (out) => out.decimal(logUniform(out, first, second), third);
      case 'hex':
        return (out) => out.hex(first);
      case 'uuid':
        return writeUuid;
      case 'port':
        return port;
      case 'count':
        return (out) => out.integer((this.#count += 1 + out.below(3)));
      case 'pick':
        return pick(text.slice('pick:'.length).split('|'));
      case 'words':
        return words(first, second);
      case 'progress':
        return progress(first);
      case 'epoch':
        return (out) => out.epoch();
      case 'walk':
        return this.#pools.get(rest[0] ?? '') ?? unknown(text);
      default:
        return times[name] ?? this.#pools.get(name) ?? unknown(text);
    }
  }
}

function unknown(text: string): never {
  throw new Error(`no slot is called {${text}}`);
}

const time =
  (name: string, form: (iso: string) => string, places: 0 | 3 | 6): Slot =>
  (out) =>
    out.time(name, form, places);

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

const times: Readonly<Record<string, Slot>> = {
  iso: time('iso', (iso) => `${iso}.`, 6),
  'dt,': time('dt,', (iso) => `${iso.replace('T', ' ')},`, 3),
  'dt.': time('dt.', (iso) => `${iso.replace('T', ' ')}.`, 3),
  vllm: time('vllm', (iso) => iso.slice(5).replace('T', ' '), 0),
  klog: time('klog', (iso) => `${iso.slice(5, 7)}${iso.slice(8, 10)} ${iso.slice(11)}.`, 6),
  spark: time('spark', (iso) => iso.slice(2).replaceAll('-', '/').replace('T', ' '), 0),
  clf: time('clf', (iso) => `${iso.slice(8, 10)}/${months[Number(iso.slice(5, 7)) - 1]}/${iso.slice(0, 4)}:${iso.slice(11)}`, 0),
};

function pick(choices: readonly string[]): Slot {
  const pieces = choices.map(utf8);
  return (out) => out.text(pieces[out.below(pieces.length)] as Uint8Array);
}

const literal = (text: string): Slot => {
  const bytes = utf8(text);
  return (out) => out.text(bytes);
};

const sequence =
  (...slots: readonly Slot[]): Slot =>
  (out) => {
    for (const slot of slots) slot(out);
  };

const colon = literal(':');
const port: Slot = (out) => out.integer(32_768 + out.below(28_000));
const hostPrefix = pick(['tpu-v5e-', 'gpu-h100-', 'cpu-pool-']);

const writeAddress: Slot = (out) => {
  out.text(privateNet);
  out.integer(out.below(4));
  out.byte(0x2e);
  out.integer(1 + out.below(254));
};
const privateNet = utf8('10.0.');

const spelled = vocabulary.map(utf8);

/** Words in no order; a few of them come far more often than the rest. */
function words(least: number, most: number): Slot {
  return (out) => {
    for (let count = least + out.below(most - least + 1); count > 0; count -= 1) {
      out.text(spelled[Math.floor(out.fraction() ** 1.7 * spelled.length)] as Uint8Array);
      if (count > 1) out.byte(0x20);
    }
  };
}

const bars = Array.from({ length: 101 }, (_, percent) => {
  const full = Math.floor(percent / 10);
  const part = percent % 10 === 0 ? '' : '▏▎▍▌▋▊▉'.charAt(Math.floor(((percent % 10) * 7) / 10));
  return utf8(`${String(percent).padStart(3)}%|${'█'.repeat(full)}${part}${' '.repeat(10 - full - part.length)}|`);
});

/** A tqdm bar up to its rate, that goes on a little with every line and begins again at the end. */
function progress(total: number): Slot {
  let [done, seconds] = [0, 0];
  return (out) => {
    if (done >= total) [done, seconds] = [0, 0];
    const rate = logUniform(out, 4, 40);
    done = Math.min(total, done + Math.ceil(total / 2_000));
    seconds += total / 2_000 / rate;
    const left = ((total - done) / done) * seconds;
    out.text(bars[Math.floor((done / total) * 100)] as Uint8Array);
    out.byte(0x20);
    out.integer(done);
    out.byte(0x2f);
    out.integer(total);
    out.text(bracket);
    clock(out, seconds);
    out.byte(0x3c);
    clock(out, left);
    out.text(comma);
    out.decimal(rate, 2);
  };
}

const [bracket, comma] = [utf8(' ['), utf8(', ')];

function clock(out: LineWriter, seconds: number): void {
  out.integer(Math.floor(seconds / 60), 2);
  out.byte(0x3a);
  out.integer(Math.floor(seconds % 60), 2);
}

const writeUuid: Slot = (out) => {
  for (const [index, length] of uuidParts.entries()) {
    if (index > 0) out.byte(0x2d);
    out.hex(length);
  }
};
const uuidParts = [8, 4, 4, 4, 12];

/** Most are small, some are large: as durations and sizes are. */
function logUniform(out: LineWriter, low: number, high: number): number {
  return low * Math.exp(out.fraction() * Math.log(high / low));
}
