/** Which pieces and lines a reader wants. */
import { matchesSelector, type Selector } from '@relight/shared/selector';
import type { SegmentKey } from '@relight/shared/log-stream';
import type { Fleet, WatchSelector } from '../fleet.ts';
import type { LogFilter, StoredLogPiece } from '../store/store.ts';
import type { LogLevel } from './level.ts';

/** Which lines of the pieces. Plain data: it goes to a thread. */
export interface LineSelection {
  /** Bounds of the time of a line, both inclusive. */
  readonly since?: number;
  readonly until?: number;
  /** RE2 (grep.ts). */
  readonly grep?: string;
  /** All of them, each as a whole word (words.ts). */
  readonly words?: readonly string[];
  /** At least as serious as this; lines that do not say how serious they are, are not. */
  readonly level?: LogLevel;
  /** Lines of the same segment to show around each that is wanted. */
  readonly linesBefore?: number;
  readonly linesAfter?: number;
  /** Lines that belong together (records.ts) are one entry, wanted when all that is asked for stands somewhere in it. */
  readonly multiline?: boolean;
}

/** Lines are shown for other lines: around them, or as one record with them. */
export function showsWindows(question: {
  readonly linesBefore?: number | undefined;
  readonly linesAfter?: number | undefined;
  readonly multiline?: boolean | undefined;
}): boolean {
  const { linesBefore = 0, linesAfter = 0, multiline = false } = question;
  return linesBefore > 0 || linesAfter > 0 || multiline;
}

export interface LogSelection extends LineSelection {
  /** Empty: all hosts. */
  readonly hosts: readonly string[];
  /** Of the host. Empty: all hosts. */
  readonly labels: Selector;
  readonly workload?: string;
  readonly source?: string;
  readonly generation?: number;
  /** Only the generation before the present one of each workload. */
  readonly previous: boolean;
}

/** A selection at one moment: the fleet of then has been looked at. Plain data. */
export interface LogQuestion extends LineSelection {
  /** Undefined: any. */
  readonly hosts?: readonly string[];
  readonly workload?: string;
  readonly source?: string;
  readonly generation?: number;
  /** Only these, as `generationKey` writes them. */
  readonly generations?: readonly string[];
}

/** More names than this are not worth a list in SQL; every piece is looked at anyway. */
const hostListMax = 500;

export const segmentOf = (piece: StoredLogPiece): SegmentKey => (piece.kind === 'block' ? piece.block.header.segment : piece.gap.segment);

const generationKey = (host: string, workload: string, generation: number): string => `${host}/${workload}/${generation}`;

function hostMatches({ hosts, labels }: LogSelection, fleet: Fleet, host: string): boolean {
  if (hosts.length > 0 && !hosts.includes(host)) return false;
  return labels.length === 0 || matchesSelector(labels, fleet.host(host)?.labels ?? {});
}

/** The hosts known now that match, or undefined for any host. */
export function selectedHosts(selection: LogSelection, fleet: Fleet): readonly string[] | undefined {
  if (selection.labels.length === 0) return selection.hosts.length === 0 ? undefined : selection.hosts;
  const known = fleet.hosts().map(({ name }) => name);
  return known.filter((name) => hostMatches(selection, fleet, name));
}

export function questionOf(selection: LogSelection, fleet: Fleet): LogQuestion {
  const { hosts: _hosts, labels: _labels, previous, ...rest } = selection;
  const hosts = selectedHosts(selection, fleet);
  const before = fleet
    .hosts()
    .flatMap(({ name, workloads }) => workloads.map((status) => generationKey(name, status.name, status.generation - 1)));
  return { ...rest, ...(hosts === undefined ? {} : { hosts }), ...(previous ? { generations: before } : {}) };
}

/** What the store can look for by itself. `words`: tokens that every wanted block holds. */
export function storeFilter(question: LogQuestion, words: readonly string[] = []): LogFilter {
  const { hosts, workload, source, generation, since, until } = question;
  return {
    ...(hosts === undefined || hosts.length > hostListMax ? {} : { hosts }),
    ...(workload === undefined ? {} : { workload }),
    ...(source === undefined ? {} : { source }),
    ...(generation === undefined ? {} : { generation }),
    ...(since === undefined ? {} : { since }),
    ...(until === undefined ? {} : { until }),
    ...(words.length === 0 ? {} : { words }),
  };
}

/** The rest of it, to be asked of every piece that the store has found. */
export function pieceTest({ hosts, generations }: LogQuestion): (piece: StoredLogPiece) => boolean {
  const names = hosts === undefined ? null : new Set(hosts);
  const wanted = generations === undefined ? null : new Set(generations);
  return (piece) => {
    if (names?.has(piece.host) === false) return false;
    const { workload, generation } = segmentOf(piece);
    return wanted === null || wanted.has(generationKey(piece.host, workload, generation));
  };
}

/** As the fleet is now: for pieces that have just come. */
export function pieceMatches(selection: LogSelection, fleet: Fleet, piece: StoredLogPiece): boolean {
  const { workload, source, generation, previous } = selection;
  const segment = segmentOf(piece);
  if (workload !== undefined && segment.workload !== workload) return false;
  if (source !== undefined && segment.source !== source) return false;
  if (generation !== undefined && segment.generation !== generation) return false;
  if (!hostMatches(selection, fleet, piece.host)) return false;
  if (!previous) return true;
  const present = fleet.host(piece.host)?.workloads.find((status) => status.name === segment.workload)?.generation;
  return present !== undefined && segment.generation === present - 1;
}

/** What agents must flush at once while somebody follows this selection. */
export function watchSelectors(selection: LogSelection, fleet: Fleet): readonly WatchSelector[] {
  const { workload, source } = selection;
  const rest = { ...(workload === undefined ? {} : { workload }), ...(source === undefined ? {} : { source }) };
  return selectedHosts(selection, fleet)?.map((host) => Object.assign({ host }, rest)) ?? [rest];
}
