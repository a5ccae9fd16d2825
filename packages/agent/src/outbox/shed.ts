/** Makes room in a full outbox. What goes first is what is worth least: old `info` events that nobody has been sent yet. */
import type { AgentEvent } from '@relight/shared/event';
import type { OutboxDisk } from './disk.ts';
import type { EventFile } from './found-files.ts';
import { encodeFile } from './lines.ts';
import type { OutboxPosition } from './outbox.ts';

/** How many events are lost when this one is: a gap event speaks for those that it counts. */
function weight(event: AgentEvent): number {
  const counted = event.kind === 'log.gap' ? event.data['events'] : undefined;
  return typeof counted === 'number' ? counted : 1;
}

/** Of the events that had to go. */
export interface Dropped {
  /** How many are lost, those included that an earlier gap event had counted and that the next one has to count again. */
  readonly dropped: number;
  /** Without those. */
  readonly anew: number;
}

export const droppedOf = (events: readonly AgentEvent[]): Dropped => ({
  dropped: events.reduce((sum, event) => sum + weight(event), 0),
  anew: events.filter((event) => event.kind !== 'log.gap' || typeof event.data['events'] !== 'number').length,
});

export interface Shed extends Dropped {
  readonly files: readonly EventFile[];
  /** Why it ended before there was room; null: it did not. */
  readonly refusal: unknown;
}

/** Of one file. Throws errno errors. */
export type ReadEvents = (name: string) => readonly AgentEvent[];

export interface Room {
  /** To be freed. */
  readonly bytes: number;
  /** So much a file counts at least. */
  readonly fileBytesMin: number;
}

type Keep = (event: AgentEvent, epoch: string) => boolean;

/**
 * Frees at least `bytes` of `files` (sealed ones, oldest first) where that is possible. Events up to `underWay`, of its epoch, may be under
 * way and go last. Ends where the disk refuses: what went before that is lost and counted.
 */
export function shed(
  disk: OutboxDisk,
  read: ReadEvents,
  files: readonly EventFile[],
  underWay: OutboxPosition,
  { bytes, fileBytesMin }: Room,
): Shed {
  const taken = (file: EventFile | null): number => (file === null ? 0 : Math.max(file.bytes, fileBytesMin));
  const handedOut: Keep = ({ seq }, epoch) => epoch === underWay.epoch && seq <= underWay.seq;
  const passes: Keep[] = [
    // An earlier gap goes with the info events: the new one counts what it counted, so that there is one and not a hundred.
    (event, epoch) => (event.severity !== 'info' && event.kind !== 'log.gap') || handedOut(event, epoch),
    handedOut,
    () => false,
  ];
  let remaining = [...files];
  let [dropped, anew, freed] = [0, 0, 0];
  let refusal: unknown = null;
  const rewritten = (file: EventFile, keep: Keep): Rewritten => {
    try {
      return refusal === null && freed < bytes ? rewrite(disk, read(file.name), file, keep, fileBytesMin) : untouched(file);
    } catch (error) {
      refusal = error;
      return untouched(file);
    }
  };
  for (const keep of passes) {
    const next: EventFile[] = [];
    for (const file of remaining) {
      const result = rewritten(file, keep);
      dropped += result.dropped;
      anew += result.anew;
      freed += taken(file) - taken(result.file);
      if (result.file !== null) next.push(result.file);
    }
    remaining = next;
    if (freed >= bytes || refusal !== null) break;
  }
  return { files: remaining, dropped, anew, refusal };
}

type Rewritten = Dropped & { readonly file: EventFile | null };

const untouched = (file: EventFile): Rewritten => ({ file, dropped: 0, anew: 0 });

function rewrite(disk: OutboxDisk, events: readonly AgentEvent[], file: EventFile, keep: Keep, fileBytesMin: number): Rewritten {
  const { epoch, firstSeq } = file;
  const kept = events.filter((event) => keep(event, epoch));
  if (kept.length === events.length) return untouched(file);
  const last = kept.at(-1);
  if (last === undefined) {
    disk.remove(file.name);
    return { file: null, ...droppedOf(events) };
  }
  // That would lose events and free nothing.
  if (file.bytes <= fileBytesMin) return untouched(file);
  const bytes = encodeFile({ epoch, firstSeq }, kept);
  disk.replace(file.name, bytes);
  return { file: { ...file, lastSeq: last.seq, bytes: bytes.length }, ...droppedOf(events.filter((event) => !keep(event, epoch))) };
}
