/** Fields of a cluster file that mean nothing to one worker, or to Relight: each is named with its line, so that nothing is lost silently. */
import { child, parseLocated, type Located } from '../../located.ts';
import { suggest } from '@relight/shared/suggest';
import type { RayReport } from './report.ts';

const scaling = 'machines come and go by another hand; Relight keeps what is there';
const head = 'concerns the head only';
const reasons: Readonly<Record<string, string>> = {
  auth: 'the agent runs on the host itself, as root; nobody logs in',
  available_node_types: 'the types of machines; of the chosen one docker, commands, resources and labels are used',
  cluster_synced_files: 'the agent copies no files',
  file_mounts_sync_continuously: 'the agent copies no files',
  head_node: head,
  head_node_type: head,
  head_setup_commands: head,
  head_start_ray_commands: head,
  idle_timeout_minutes: scaling,
  initial_workers: scaling,
  autoscaling_mode: scaling,
  aggressive_autoscaling: scaling,
  target_utilization_fraction: scaling,
  max_workers: scaling,
  min_workers: scaling,
  no_restart: 'Relight has a restart policy of its own, under restart:',
  provider: 'machines are made by another hand; its type only tells where the head can be asked for',
  rsync_exclude: 'the agent copies no files',
  rsync_filter: 'the agent copies no files',
  upscaling_speed: scaling,
  worker_default_node_type: scaling,
  worker_nodes: 'the shape of the machines',
};
const used = [
  'cluster_name',
  'docker',
  'file_mounts',
  'initialization_commands',
  'setup_commands',
  'worker_setup_commands',
  'worker_start_ray_commands',
];
const usedOfDocker = new Set([
  'container_name',
  'disable_automatic_runtime_detection',
  'disable_shm_size_detection',
  'image',
  'pull_before_run',
  'run_options',
  'use_podman',
  'worker_image',
  'worker_run_options',
]);

/** The text was read before: it is sound YAML. */
export function reportLeftBehind(text: string, clusterName: string, report: RayReport): void {
  const root = parseLocated(text);
  if (root.kind !== 'map') return;
  for (const { key, at, node } of root.entries) {
    const reason = reasons[key];
    if (key === 'file_mounts') fileMounts(node, clusterName, report);
    else if (reason !== undefined && !isEmpty(node)) report.left(at.line, `${key}: ${reason}`);
    else if (reason === undefined && !used.includes(key)) {
      const near = suggest(key, [...used, ...Object.keys(reasons)]);
      report.left(at.line, `${key}: Ray has no such field${near === undefined ? '' : `; did you mean ${near}?`}`);
    }
  }
  const docker = child(root, 'docker');
  if (docker?.kind !== 'map') return;
  for (const { key, at, node } of docker.entries) {
    if (usedOfDocker.has(key) || isEmpty(node)) continue;
    report.left(at.line, `docker.${key}: ${key.startsWith('head_') ? head : 'Ray has no such field'}`);
  }
}

/** Ray copies them to the host first and binds them from there; a reboot may empty /tmp, and the engine then binds an empty directory. */
function fileMounts(node: Located, clusterName: string, report: RayReport): void {
  if (node.kind !== 'map') return;
  for (const { key, at } of node.entries) {
    const staged = `/tmp/ray_tmp_mount/${clusterName}/${key.replace(/^~\//, '').replace(/^\//, '')}`;
    report.left(
      at.line,
      `file_mounts ${key}: Ray stages it at ${staged}, which a reboot may empty; copy it to a lasting place and add it to volumes`,
    );
  }
}

const isEmpty = (node: Located): boolean =>
  (node.kind === 'scalar' && node.value === null) ||
  (node.kind === 'list' && node.items.length === 0) ||
  (node.kind === 'map' && node.entries.length === 0);
