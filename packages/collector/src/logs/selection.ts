/** Which pieces and lines a reader wants. */
import { matchesSelector, type Selector } from '@relight/shared/selector';
import type { SegmentKey } from '@relight/shared/log-stream';
import type { Fleet, WatchSelector } from '../fleet.ts';
import type { LogFilter, StoredLogPiece } from '../store/store.ts';
import type { LineMatch } from './grep.ts';

export interface LogSelection {
  /** Empty: all hosts. */
  readonly hosts: readonly string[];
  /** Of the host. Empty: all hosts. */
  readonly labels: Selector;
  readonly workload?: string;
  readonly source?: string;
  readonly generation?: number;
  /** Only the generation before the present one of each workload. */
  readonly previous: boolean;
  /** Bounds of the time of a line, both inclusive. */
  readonly since?: number;
  readonly until?: number;
  readonly match?: LineMatch;
}

/** More names than this are not worth a list in SQL; pieceMatches looks at every piece anyway. */
const hostListMax = 500;

export const segmentOf = (piece: StoredLogPiece): SegmentKey => (piece.kind === 'block' ? piece.block.header.segment : piece.gap.segment);

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

export function storeFilter(selection: LogSelection, fleet: Fleet): LogFilter {
  const { workload, source, generation, since, until } = selection;
  const hosts = selectedHosts(selection, fleet);
  return {
    ...(hosts === undefined || hosts.length > hostListMax ? {} : { hosts }),
    ...(workload === undefined ? {} : { workload }),
    ...(source === undefined ? {} : { source }),
    ...(generation === undefined ? {} : { generation }),
    ...(since === undefined ? {} : { since }),
    ...(until === undefined ? {} : { until }),
  };
}

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
