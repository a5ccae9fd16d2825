/** Puts the parts of the incidents together. */
import type { Clock } from '@relight/shared/clock';
import type { HostMetrics } from '@relight/shared/status';
import type { SecretValues } from '../config/secret-values.ts';
import type { AgentSpec } from '../config/spec.ts';
import type { Engine } from '../engine/engine.ts';
import type { OutboxHistory } from '../outbox/telling.ts';
import { runRootOf } from '../stages/run-files.ts';
import { containerEvidence } from './container-evidence.ts';
import type { Subject } from './evidence.ts';
import { Gatherer } from './gatherer.ts';
import { hostEvidence, type HostEvidenceOptions } from './host-evidence.ts';
import { Incidents } from './incidents.ts';
import { rayEvidence } from './ray-evidence.ts';
import { IncidentStore } from './store.ts';

export interface MakeIncidentsOptions {
  readonly clock: Clock;
  readonly random: () => number;
  readonly spec: AgentSpec;
  /** Those that are configured now. */
  readonly workloads: () => readonly string[];
  readonly stateDir: string;
  readonly engine: Engine;
  readonly secrets: () => Iterable<SecretValues>;
  readonly containerOf: (workload: string) => Subject['container'];
  readonly kernelLines: HostEvidenceOptions['kernelLines'];
  readonly history: OutboxHistory;
  readonly warn: (message: string) => void;
}

export interface HostIncidents {
  readonly incidents: Incidents;
  readonly gatherer: Gatherer;
  /** Every sample of the host's metrics; those of the last ten minutes are kept. */
  measured(metrics: HostMetrics): void;
}

/** Ten minutes of one sample every ten seconds. */
const samplesMax = 60;
const engineRoot = '/var/lib/docker';

export function makeIncidents(options: MakeIncidentsOptions): HostIncidents {
  const { clock, random, spec, stateDir, engine, containerOf, kernelLines, history, warn } = options;
  const samples: HostMetrics[] = [];
  const store = new IncidentStore({ stateDir, host: spec.host.name, warn });
  const gatherer = new Gatherer({
    clock,
    containerOf,
    sources: [
      ...containerEvidence({ engine, runRoot: runRootOf(stateDir) }),
      rayEvidence({ engine, runRoot: runRootOf(stateDir) }),
      ...hostEvidence({ clock, kernelLines, disks: [stateDir, '/', engineRoot], metrics: () => samples }),
    ],
    // Of every workload: the kernel's log and the host's know no borders.
    redact: (text) => [...options.secrets()].reduce((clean, secrets) => secrets.text(clean), text),
    found: (id, item, text) => {
      store.addEvidence(id, item, text);
      incidents.evidenceFound(id);
    },
  });
  const incidents: Incidents = new Incidents({
    clock,
    store,
    random,
    workloads: options.workloads,
    history,
    delivering: spec.collector !== null,
    gather: (incident, why) => gatherer.consider(incident, why),
  });
  return {
    incidents,
    gatherer,
    measured: (metrics) => {
      samples.push(metrics);
      if (samples.length > samplesMax) samples.shift();
    },
  };
}
