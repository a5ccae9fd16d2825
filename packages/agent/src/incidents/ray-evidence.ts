/** What Ray's daemons wrote last: why a raylet is gone stands there, and nowhere in what `ray start` says. */
import type { Engine } from '../engine/engine.ts';
import { readRayLogs } from '../stages/ray-logs.ts';
import { readTail, segmentsOf } from '../stages/run-files.ts';
import { type EvidenceSource, notUrgentMs, type Subject } from './evidence.ts';

export interface RayEvidenceOptions {
  readonly engine: Pick<Engine, 'exec'>;
  readonly runRoot: string;
}

/** `ray start` says within a few lines that it is Ray. */
const tailBytes = 16 * 1_024;

export function rayEvidence({ engine, runRoot }: RayEvidenceOptions): EvidenceSource {
  return {
    name: 'log:ray',
    title: "last lines of Ray's raylet and GCS",
    light: false,
    afterMs: notUrgentMs,
    needsContainer: true,
    read: async (subject, signal) => {
      const { container } = subject;
      // Only where Ray was started: others are spared the command.
      if (container === null || container.pid === 0 || !startedRay(runRoot, subject)) return [];
      const text = await readRayLogs(engine, container.id, '', signal);
      return text === '' ? [] : [{ text, keep: 'end' }];
    },
  };
}

function startedRay(runRoot: string, { workload, generation }: Subject): boolean {
  if (workload === null || generation === null) return false;
  const newest = segmentsOf(runRoot, workload, generation)
    .filter(({ key }) => key.source === 'process')
    .toSorted((a, b) => Number.parseInt(b.key.run, 10) - Number.parseInt(a.key.run, 10))
    .slice(0, 2);
  // A run that has only just begun has said nothing yet.
  return newest.some(({ path }) => /\bRay runtime\b|\/ray\/_private\/|\bscripts\.py:\d+ --/.test(readTail(path, tailBytes)));
}
