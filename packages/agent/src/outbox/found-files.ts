/** What a file of events holds that an earlier life has left. */
import type { AgentEvent } from '@relight/shared/event';
import type { OutboxDisk } from './disk.ts';
import { encodeFile, parseFile } from './lines.ts';

export interface EventFile {
  readonly name: string;
  readonly epoch: string;
  readonly firstSeq: number;
  /** firstSeq - 1 when it holds no event. */
  readonly lastSeq: number;
  readonly bytes: number;
}

export interface Found {
  /** Null: nothing in it can be used. */
  readonly file: EventFile | null;
  /** Events in it that are damaged. */
  readonly lost: number;
  /** It holds all that earlier versions have left in the files before it: they numbered events anew when they began an epoch. */
  readonly holdsAll: boolean;
}

/** Not `ndjson`: an earlier version that is installed again takes its newest file for all that there is, and would remove the others. */
const fileName = (index: number): string => `${String(index).padStart(10, '0')}.events`;

export const isEventFile = (name: string): boolean => /^\d{10}\.(?:events|ndjson)$/.test(name);
export const isOfEarlierVersion = (name: string): boolean => name.endsWith('.ndjson');

export const nextFileName = (names: readonly string[]): string =>
  fileName(names.reduce((highest, name) => (isEventFile(name) ? Math.max(highest, Number.parseInt(name, 10)) : highest), 0) + 1);

/**
 * What is damaged is taken out of it, so that it is counted once. An unfinished line at its end is no damage: nobody has been told that
 * its event is kept. Throws errno errors when it cannot be read.
 */
export function inspect(disk: OutboxDisk, name: string): Found {
  const { header, events, damagedLines, wholeBytes } = parseFile(disk.read(name));
  if (header === null) {
    mend(() => disk.remove(name));
    return { file: null, lost: events.length + damagedLines, holdsAll: false };
  }
  const { epoch, firstSeq, begins: holdsAll = false } = header;
  const file = { name, epoch, firstSeq, lastSeq: events.at(-1)?.seq ?? firstSeq - 1, bytes: wholeBytes };
  if (damagedLines > 0) mend(() => disk.replace(name, encodeFile(header, events)));
  return { file, lost: damagedLines, holdsAll };
}

function mend(act: () => void): void {
  try {
    act();
  } catch {
    // Then the next life counts it once more.
  }
}

/** The events of one file, for sending. Throws errno errors. */
export function readEvents(disk: OutboxDisk, name: string): readonly AgentEvent[] {
  return parseFile(disk.read(name)).events;
}
