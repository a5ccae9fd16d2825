/**
 * Incidents on disk, each in a directory of its own below `<state dir>/incidents`:
 *
 *   book.json                    what is open (book.ts)
 *   ID/incident.json             the document, replaced as a whole
 *   ID/NAME.zst                  one piece of evidence each, never changed
 *   ID/undelivered               there as long as the collector does not have all of it
 *
 * A disk that takes nothing must not lose what can still be sent: what could not be written stays in memory, up to
 * `memoryBytesMax`, until the collector has it. Over `bytesMax` the oldest incidents go.
 */
import { errorMessage } from '@relight/shared/errors';
import { evidencePiecesMax, evidenceUnpackedBytesMax, incidentSchema, type EvidenceItem, type Incident } from '@relight/shared/incident';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { readSwapped, swapFile } from '../host/atomic-file.ts';
import type { OutboxPosition } from '../outbox/outbox.ts';
import { emptyBook, type Book } from './book.ts';

export interface IncidentStoreOptions {
  readonly stateDir: string;
  /** The name of this host, for whoever reads the directory. */
  readonly host: string;
  /** Of all incidents on disk together. Default 64 MiB. */
  readonly bytesMax?: number;
  /** Default 500. */
  readonly incidentsMax?: number;
  /** Of evidence that a full disk keeps in memory. Default 1 MiB, compressed. */
  readonly memoryBytesMax?: number;
  readonly warn: (message: string) => void;
}

export interface SavedBook {
  readonly book: Book;
  /** The last event of the outbox that is in it. Null: nobody knows. */
  readonly heard: OutboxPosition | null;
}

interface Held {
  document: Incident;
  /** The document is on disk as it is here. */
  saved: boolean;
  /** Compressed pieces that could not be written. */
  readonly memory: Map<string, Buffer>;
}

/** Closed ones that a full disk, or a collector that is away, keeps in memory. */
const heldMax = 50;
const documentName = 'incident.json';
const undeliveredName = 'undelivered';
const idPattern = /^[\w-]{8,64}$/;

export class IncidentStore {
  readonly #directory: string;
  readonly #options: Required<Omit<IncidentStoreOptions, 'stateDir'>>;
  /** Open, or not delivered yet, or not on disk. */
  readonly #held = new Map<string, Held>();
  #troubled = false;

  constructor({ stateDir, ...options }: IncidentStoreOptions) {
    this.#directory = join(stateDir, 'incidents');
    this.#options = { bytesMax: 64 * 1024 ** 2, incidentsMax: 500, memoryBytesMax: 1024 ** 2, ...options };
  }

  /**
   * What an earlier life of the agent left. A document that is newer than the book is the truth, unless `goesOn` says that what has
   * happened since is known: then it will be folded into the book once more.
   */
  loadBook(goesOn: (heard: OutboxPosition) => boolean = () => false): SavedBook {
    const none = { book: emptyBook, heard: null };
    const text = read(join(this.#directory, 'book.json'));
    if (text === null) return none;
    try {
      const { heard = null, ...book } = JSON.parse(text.toString('utf8')) as Book & { readonly heard?: OutboxPosition };
      if (book.version !== 1) return none;
      const known = heard !== null && goesOn(heard);
      const open = Object.entries(book.open).map(([key, incident]): [string, Incident] => {
        const document = this.load(incident.id);
        const newer = !known && document !== null && bookRevision(document) > incident.revision;
        return [key, newer ? { ...document, revision: bookRevision(document), evidence: [] } : incident];
      });
      const { settling, recent, paused, ready, last, engineLost, rebooting } = { ...emptyBook, ...book };
      return { book: { version: 1, open: Object.fromEntries(open), settling, recent, paused, ready, last, engineLost, rebooting }, heard };
    } catch {
      return none;
    }
  }

  /** `heard`: the last event that is in it. Absent: nobody knows. */
  saveBook(book: Book, heard?: OutboxPosition): void {
    this.#write(() => swapFile(join(this.#directory, 'book.json'), JSON.stringify({ host: this.#options.host, ...book, heard })));
  }

  /** The document on disk says less than the book. */
  isBehind({ id, revision }: Incident): boolean {
    const document = this.load(id);
    return document === null || bookRevision(document) < revision;
  }

  /** Takes over the book's word; the list of evidence is the store's own. */
  put(incident: Incident): Incident {
    const { evidence } = this.#hold(incident.id, incident).document;
    return this.#replace(incident.id, { ...incident, evidence, revision: incident.revision + evidence.length });
  }

  /** Adds one piece; a name that is there already, or one too many, is left out. `text` null: only its `error` is known. */
  addEvidence(id: string, item: Omit<EvidenceItem, 'bytes'>, text: string | null): void {
    const document = this.load(id);
    if (document === null) return;
    const held = this.#hold(id, document);
    const { evidence, revision } = document;
    if (evidence.length >= evidencePiecesMax || evidence.some(({ name }) => name === item.name)) return;
    let kept: EvidenceItem = { ...item, bytes: text === null ? 0 : Buffer.byteLength(text) };
    if (text !== null && !this.#writeEvidence(held, item.name, zstdCompressSync(Buffer.from(text)))) {
      kept = { ...kept, bytes: 0, error: 'the disk of this host was full, and so was the memory set aside for evidence' };
    }
    this.#replace(id, { ...held.document, evidence: [...evidence, kept], revision: revision + 1 });
  }

  /** The document as it was last put; null when there is none. */
  load(id: string): Incident | null {
    const held = this.#held.get(id);
    if (held !== undefined) return held.document;
    const text = idPattern.test(id) ? read(join(this.#directory, id, documentName)) : null;
    if (text === null) return null;
    try {
      return incidentSchema.parse(JSON.parse(text.toString('utf8')));
    } catch {
      return null;
    }
  }

  /** Compressed; null when it is gone. */
  evidence(id: string, name: string): Buffer | null {
    return this.#held.get(id)?.memory.get(name) ?? read(join(this.#directory, id, fileOf(name)));
  }

  evidenceText(id: string, name: string): string | null {
    const body = this.evidence(id, name);
    return body === null ? null : zstdDecompressSync(body, { maxOutputLength: evidenceUnpackedBytesMax }).toString('utf8');
  }

  /** Null: no agent has written here. */
  readHost(): string | null {
    try {
      const { host } = JSON.parse(read(join(this.#directory, 'book.json'))?.toString('utf8') ?? '{}') as { host?: unknown };
      return typeof host === 'string' ? host : null;
    } catch {
      return null;
    }
  }

  /** Newest first. */
  ids(): string[] {
    const onDisk = list(this.#directory).filter((name) => idPattern.test(name));
    return [...new Set([...onDisk, ...this.#held.keys()])].toSorted().toReversed();
  }

  /** Oldest first: those of which the collector does not have everything, as far as is known. */
  undelivered(): string[] {
    return this.ids()
      .toReversed()
      .filter((id) => this.#held.has(id) || fs.existsSync(join(this.#directory, id, undeliveredName)));
  }

  /** The collector has everything of it, and nothing more will come. */
  delivered(id: string): void {
    this.#write(() => fs.rmSync(join(this.#directory, id, undeliveredName), { force: true }));
    this.release(id);
  }

  /** Nothing more will come: it need not stay in memory, unless the disk did not take it. */
  release(id: string): void {
    const held = this.#held.get(id);
    if (held?.memory.size === 0 && held.saved) this.#held.delete(id);
  }

  /** Removes the oldest until the rest is within its bounds. Never what is open. */
  prune(): void {
    const closed = [...this.#held].filter(([, { document }]) => document.closedAt !== null);
    for (const [id] of closed.slice(0, Math.max(0, closed.length - heldMax))) this.#held.delete(id);
    const sizes = this.ids().map((id) => ({ id, bytes: sizeOf(join(this.#directory, id)) }));
    let bytes = 0;
    for (const [index, entry] of sizes.entries()) {
      bytes += entry.bytes;
      const open = this.#held.get(entry.id)?.document.closedAt === null;
      if (open || (bytes <= this.#options.bytesMax && index < this.#options.incidentsMax)) continue;
      this.#write(() => fs.rmSync(join(this.#directory, entry.id), { recursive: true, force: true }));
      this.#held.delete(entry.id);
    }
  }

  #hold(id: string, otherwise: Incident): Held {
    const known = this.#held.get(id);
    if (known !== undefined) return known;
    const held = { document: this.load(id) ?? { ...otherwise, evidence: [] }, saved: false, memory: new Map<string, Buffer>() };
    this.#held.set(id, held);
    return held;
  }

  #replace(id: string, document: Incident): Incident {
    const held = this.#hold(id, document);
    held.document = document;
    held.saved = this.#write(() => {
      const directory = this.#directoryOf(id);
      fs.closeSync(fs.openSync(join(directory, undeliveredName), 'a', 0o600));
      swapFile(join(directory, documentName), JSON.stringify(document));
    });
    return document;
  }

  #writeEvidence(held: Held, name: string, body: Buffer): boolean {
    if (this.#write(() => swapFile(join(this.#directoryOf(held.document.id), fileOf(name)), body))) return true;
    const used = [...this.#held.values()].flatMap(({ memory }) => [...memory.values()]).reduce((sum, { length }) => sum + length, 0);
    if (used + body.length > this.#options.memoryBytesMax) return false;
    held.memory.set(name, body);
    return true;
  }

  #directoryOf(id: string): string {
    const directory = join(this.#directory, id);
    fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
    return directory;
  }

  /** A disk that is full, or a state directory that is gone, is said once; recovery never waits for it. */
  #write(write: () => void): boolean {
    try {
      fs.mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
      write();
      this.#troubled = false;
      return true;
    } catch (error) {
      if (!this.#troubled) this.#options.warn(`incidents cannot be written (${errorMessage(error)}); they are kept in memory`);
      this.#troubled = true;
      return false;
    }
  }
}

/** Of the book: without what the evidence has added. */
const bookRevision = ({ revision, evidence }: Incident): number => revision - evidence.length;

/** Names hold colons and slashes of paths. */
const fileOf = (name: string): string => `${encodeURIComponent(name).slice(0, 200)}.zst`;

function read(path: string): Buffer | null {
  try {
    return readSwapped(path);
  } catch {
    return null;
  }
}

function list(directory: string): string[] {
  try {
    return fs.readdirSync(directory);
  } catch {
    return [];
  }
}

function sizeOf(directory: string): number {
  return list(directory).reduce((sum, name) => sum + (fs.lstatSync(join(directory, name), { throwIfNoEntry: false })?.size ?? 0), 0);
}
