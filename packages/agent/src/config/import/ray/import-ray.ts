/** A Ray cluster YAML that works with `ray up` → an agent configuration that does the same for one worker. Done once; a person reads the result. */
import { basename } from 'node:path';
import { readRayCluster, type RayWorker } from './cluster.ts';
import { hostCommands, setupCommands } from './commands.ts';
import { headVariable, instanceVariable, type VariableDraft } from './head.ts';
import { reportLeftBehind } from './left-behind.ts';
import { rayContainer, type HostAnswers } from './options.ts';
import { RayReport, type RayNote } from './report.ts';
import { startCommands } from './start.ts';
import { writeRayYaml } from './write.ts';

export interface RayImportOptions {
  /** For messages and comments. */
  readonly file: string;
  readonly nodeType?: string;
  /** HOST or HOST:PORT. */
  readonly head?: string;
  readonly host: HostAnswers;
}

export interface RayImported {
  readonly yaml: string;
  readonly notes: readonly RayNote[];
}

/** Fails with config-invalid (with the place) or usage. */
export function importRay(text: string, { file, nodeType, head, host }: RayImportOptions): RayImported {
  const report = new RayReport();
  const worker = readRayCluster(text, file, nodeType, report);
  reportLeftBehind(text, worker.clusterName, report);
  const container = rayContainer(worker.docker, host, file, report);
  const environment = (container['environment'] ?? {}) as Readonly<Record<string, string>>;
  const start = startCommands(worker.start, worker.docker.line, report);
  const setup = setupCommands([...worker.setup, ...start.steps], worker.docker.containerName, (name) => environment[name], report);
  const yaml = writeRayYaml({
    source: basename(file),
    nodeType: worker.nodeType,
    host: [...hostCommands(worker.initialization, report), ...setup.host],
    variables: variables(worker, head, report),
    container,
    setup: setup.items,
    start,
  });
  return { yaml, notes: report.notes };
}

/** Ray gives the last three to the start commands alone; nothing before them reads them. */
function variables(worker: RayWorker, head: string | undefined, report: RayReport): Readonly<Record<string, VariableDraft>> {
  const instance = instanceVariable(worker);
  return {
    RAY_HEAD_IP: headVariable(worker, head, report),
    ...(worker.resources === null ? {} : { RAY_OVERRIDE_RESOURCES: worker.resources }),
    ...(worker.labels === null ? {} : { RAY_OVERRIDE_LABELS: worker.labels }),
    ...(instance === null ? {} : { RAY_CLOUD_INSTANCE_ID: instance }),
  };
}
