/** Makes room in a full outbox. What goes first is what is worth least: old `info` events that nobody has been sent yet. */
import type { AgentEvent } from '@relight/shared/event';
import type { OutboxDisk } from './disk.ts';
import { encodeLine } from './lines.ts';
import { readEvents, type EventFile } from './recovery.ts';

/** How many events are lost when this one is: a gap event speaks for those that it counts. */
export function weight(event: AgentEvent): number {
  const counted = event.kind === 'log.gap' ? event.data['events'] : undefined;
  return typeof counted === 'number' ? counted : 1;
}

export interface Shed {
  readonly files: readonly EventFile[];
  readonly dropped: number;
}

/** Frees at least `bytes` of `files` (sealed ones, oldest first) where that is possible. Events up to `handedOut` may be under way and go last. */
export function shed(disk: OutboxDisk, files: readonly EventFile[], epoch: string, handedOut: number, bytes: number): Shed {
  const passes: ((event: AgentEvent) => boolean)[] = [
    // An earlier gap goes with the info events: the new one counts what it counted, so that there is one and not a hundred.
    (event) => (event.severity !== 'info' && event.kind !== 'log.gap') || event.seq <= handedOut,
    (event) => event.seq <= handedOut,
    () => false,
  ];
  let remaining = [...files];
  let dropped = 0;
  let freed = 0;
  for (const keep of passes) {
    const next: EventFile[] = [];
    for (const file of remaining) {
      const result = freed < bytes ? rewrite(disk, file, epoch, keep) : { file, dropped: 0 };
      dropped += result.dropped;
      freed += file.bytes - (result.file?.bytes ?? 0);
      if (result.file !== null) next.push(result.file);
    }
    remaining = next;
    if (freed >= bytes) break;
  }
  return { files: remaining, dropped };
}

function rewrite(
  disk: OutboxDisk,
  file: EventFile,
  epoch: string,
  keep: (event: AgentEvent) => boolean,
): { file: EventFile | null; dropped: number } {
  const events = readEvents(disk, file.name);
  const kept = events.filter(keep);
  if (kept.length === events.length) return { file, dropped: 0 };
  const last = kept.at(-1);
  if (last === undefined) {
    disk.remove(file.name);
    return { file: null, dropped: sum(events) };
  }
  const bytes = Buffer.concat([encodeLine({ epoch, firstSeq: file.firstSeq }), ...kept.map(encodeLine)]);
  disk.replace(file.name, bytes);
  return { file: { ...file, lastSeq: last.seq, bytes: bytes.length }, dropped: sum(events) - sum(kept) };
}

const sum = (events: readonly AgentEvent[]): number => events.reduce((total, event) => total + weight(event), 0);
