/**
 * What an outbox finds on its disk when it opens, and the decision whether the numbers can be trusted.
 *
 * Numbers leave the process only after fsync, so a plain kill -9 or power cut costs no epoch: what is cut off at the end was
 * never seen by anybody. A new epoch begins when
 * - there is no whole file (first start, or the directory was lost),
 * - a whole line is damaged or the tail holds NUL bytes (the disk lost what it had promised), or
 * - the file `trusted` is missing: numbers were handed out while the disk was full (see file-outbox.ts).
 * What was unacknowledged then becomes the first events of the new epoch. Those that the collector committed without us
 * knowing arrive a second time: the price of a disk that broke its promise.
 */
import type { AgentEvent, NewAgentEvent } from '@relight/shared/event';
import { readAcknowledged } from './acknowledged.ts';
import type { OutboxDisk } from './disk.ts';
import { encodeLine, parseFile, type FileHeader, type ParsedFile } from './lines.ts';

export const trustedName = 'trusted';

export interface EventFile {
  readonly name: string;
  readonly firstSeq: number;
  /** firstSeq - 1 when it holds no event. */
  readonly lastSeq: number;
  readonly bytes: number;
}

/** The outbox goes on in these files. */
export interface Continued {
  readonly kind: 'continue';
  readonly epoch: string;
  /** In order; the last one is written on. Never empty. */
  readonly files: readonly EventFile[];
  /** What the last one holds: it is not read a second time. */
  readonly lastEvents: readonly AgentEvent[];
  readonly acknowledged: number;
  /** For the log; empty when all was in order. */
  readonly notes: readonly string[];
}

/** A new epoch has to begin with `events`, numbered from 1; until `begin` has succeeded the old files stay untouched. */
export interface BeginAnew {
  readonly kind: 'begin';
  readonly events: readonly AgentEvent[];
  readonly notes: readonly string[];
}

const fileName = (index: number): string => `${String(index).padStart(10, '0')}.ndjson`;
const eventFilePattern = /^\d{10}\.ndjson$/;

export const nextFileName = (names: readonly string[]): string =>
  fileName(Math.max(0, ...names.filter((name) => eventFilePattern.test(name)).map((name) => Number.parseInt(name, 10))) + 1);

interface Found {
  readonly name: string;
  readonly header: FileHeader;
  readonly parsed: ParsedFile;
  readonly bytes: Buffer;
}

export const renumber = (events: readonly NewAgentEvent[]): AgentEvent[] => events.map((event, index) => ({ ...event, seq: index + 1 }));

/** `now` stamps the gap event. Throws errno errors when the disk cannot be read, or a torn end cannot be cut off. */
export function recover(disk: OutboxDisk, now: number): Continued | BeginAnew {
  const names = disk.list();
  const notes: string[] = [];
  const found = findFiles(disk, names, notes);
  const newest = found.at(-1);
  if (newest === undefined) {
    if (names.length > 0) notes.push('no whole event file was found; a new epoch begins');
    return { kind: 'begin', events: [], notes };
  }
  const epoch = newest.header.epoch;
  const all = found.filter((file) => file.header.epoch === epoch);
  const ours = all.slice(
    Math.max(
      0,
      all.findLastIndex((file) => file.header.begins),
    ),
  );
  const acknowledged = readAcknowledged(disk, names, epoch);
  const damagedLines = ours.reduce((sum, file) => sum + file.parsed.damagedLines, 0);
  const tail = newest.bytes.subarray(newest.parsed.wholeBytes);
  const distrust = !isTrusted(disk, names, epoch)
    ? 'numbers were handed out that are not on the disk'
    : damagedLines > 0 || tail.includes(0)
      ? `${damagedLines} lines and ${tail.length} bytes at the end are damaged`
      : null;
  if (distrust !== null) {
    const kept = ours.flatMap((file) => file.parsed.events).filter((event) => event.seq > acknowledged);
    notes.push(`${distrust}; a new epoch begins with ${kept.length} events of the old one`);
    return { kind: 'begin', events: renumber(damagedLines > 0 ? [...kept, damageEvent(damagedLines, now)] : kept), notes };
  }
  if (tail.length > 0) {
    notes.push(`${tail.length} bytes of an unfinished write were cut off`);
    const handle = disk.open(newest.name);
    try {
      handle.truncate(newest.parsed.wholeBytes);
      handle.syncNow();
    } finally {
      handle.close();
    }
  }
  for (const name of names) if (eventFilePattern.test(name) && ours.every((file) => file.name !== name)) disk.remove(name);
  return { kind: 'continue', epoch, files: ours.map(describe), lastEvents: newest.parsed.events, acknowledged, notes };
}

export interface Begin {
  readonly disk: OutboxDisk;
  readonly epoch: string;
  readonly events: readonly AgentEvent[];
  /**
   * The last number that the epoch has given already, while it lived in memory; what was acknowledged of that is not among `events`, and a
   * later start must not give it again.
   */
  readonly given: number;
  /** Opens what was written. May throw. */
  readonly use: (begun: Continued) => void;
}

/**
 * Writes an epoch. Nobody trusts it before that is settled (trust.ts), nor what stood there before: a start in between begins anew with
 * what the newest file holds. Throws errno errors, and what `use` throws; nothing of it is counted on then.
 */
export function begin({ disk, epoch, events, given, use }: Begin): Continued {
  const name = nextFileName(disk.list());
  const firstSeq = events[0]?.seq ?? given + 1;
  const bytes = Buffer.concat([encodeLine({ epoch, firstSeq, begins: true } satisfies FileHeader), ...events.map(encodeLine)]);
  const file = { name, firstSeq, lastSeq: events.at(-1)?.seq ?? given, bytes: bytes.length };
  const begun: Continued = { kind: 'continue', epoch, files: [file], lastEvents: events, acknowledged: 0, notes: [] };
  // Else a start after the next step took the numbers of this file for trusted, while this life goes on without it and gives more.
  removeTrust(disk);
  try {
    disk.replace(name, bytes);
    use(begun);
  } catch (error) {
    withdraw(disk, name);
    throw error;
  }
  return begun;
}

/** As far as the disk lets it. */
function withdraw(disk: OutboxDisk, name: string): void {
  try {
    disk.remove(name);
  } catch {
    // It may stand there: nobody trusts it, and the next one that is begun holds all that it holds.
  }
}

/** Removes what `begin` has replaced, when that is trusted. Throws errno errors. */
export function removeBefore(disk: OutboxDisk, { files }: Continued): void {
  const first = files[0]?.name ?? '';
  for (const old of disk.list()) if (eventFilePattern.test(old) && old < first) disk.remove(old);
}

/** No later start continues the numbering that is on the disk. Throws errno errors. */
export function removeTrust(disk: OutboxDisk): void {
  disk.remove(trustedName);
  disk.syncDirectory();
}

/** Earlier versions left the file empty: then it speaks for whatever is newest. */
function isTrusted(disk: OutboxDisk, names: readonly string[], epoch: string): boolean {
  if (!names.includes(trustedName)) return false;
  const trusted = disk.read(trustedName).toString('utf8');
  return trusted === '' || trusted === epoch;
}

function findFiles(disk: OutboxDisk, names: readonly string[], notes: string[]): Found[] {
  const found: Found[] = [];
  for (const name of names.filter((candidate) => eventFilePattern.test(candidate))) {
    const bytes = disk.read(name);
    const parsed = parseFile(bytes);
    if (parsed.header !== null) found.push({ name, header: parsed.header, parsed, bytes });
    else if (bytes.length > 0) notes.push(`${name} has no whole header and is ignored`);
  }
  return found;
}

function describe(file: Found): EventFile {
  const firstSeq = file.header.firstSeq;
  return { name: file.name, firstSeq, lastSeq: file.parsed.events.at(-1)?.seq ?? firstSeq - 1, bytes: file.parsed.wholeBytes };
}

/** Tells the collector of events that are lost. `at`: epoch milliseconds. */
export const gapEvent = ({
  events,
  reason,
  message,
  at,
}: {
  events: number;
  reason: string;
  message: string;
  at: number;
}): NewAgentEvent => ({
  at,
  kind: 'log.gap',
  severity: 'warning',
  message,
  data: { reason, events },
});

const damageEvent = (events: number, at: number): NewAgentEvent =>
  gapEvent({ events, reason: 'damaged', message: `${events} events on the disk of this host were damaged and are lost`, at });

/** What was found that the collector has not. Throws errno errors. */
export function unacknowledged(disk: OutboxDisk, found: Continued | BeginAnew): readonly AgentEvent[] {
  if (found.kind === 'begin') return found.events;
  return found.files.flatMap(({ name }) => readEvents(disk, name)).filter(({ seq }) => seq > found.acknowledged);
}

/** The events of one file, for sending. */
export function readEvents(disk: OutboxDisk, name: string): readonly AgentEvent[] {
  return parseFile(disk.read(name)).events;
}
