/** What can happen to a worker of a cluster, each as it happens: to real processes and containers. */
import { signalProcess, listProcesses } from '../processes.ts';
import type { RayWorker } from './ray-cluster.ts';

/** Not the shell around `ray start`, whose command line holds the same words. */
export const programs = {
  raylet: /^\S*\/raylet /,
  gcsfuse: /^gcsfuse /,
  launcher: /^\S*python\S* \S*\/ray start /,
  dashboardAgent: /ray::DashboardAgent/,
} as const;

/** Host pid of a process of the worker's container; undefined: there is none. */
export async function findPid({ bystander }: RayWorker, program: RegExp): Promise<number | undefined> {
  const id = (await bystander.lab.engine.inspect(bystander.containerName))?.id;
  if (id === undefined) return undefined;
  return listProcesses().find(({ cgroup, cmdline }) => cgroup.includes(id) && program.test(cmdline.join(' ')))?.pid;
}

/** Fails when there is none. */
export async function pidOf(worker: RayWorker, program: RegExp): Promise<number> {
  const pid = await findPid(worker, program);
  if (pid === undefined) throw new Error(`no ${String(program)} in ${worker.bystander.containerName}`);
  return pid;
}

/** The node id under which the raylet of the worker's container runs. */
export async function runningNode(worker: RayWorker): Promise<string> {
  const pid = await pidOf(worker, programs.raylet);
  const cmdline = listProcesses().find((found) => found.pid === pid)?.cmdline ?? [];
  return cmdline.find((word) => word.startsWith('--node_id='))?.slice('--node_id='.length) ?? '';
}

const signal =
  (program: RegExp, name: NodeJS.Signals) =>
  async (worker: RayWorker): Promise<void> => {
    const pid = await findPid(worker, program);
    if (pid !== undefined) signalProcess(pid, name);
  };

/** Each may strike at any moment, also while an earlier one is being mended: what is not there is not hit. */
export const faults = {
  'container killed': ({ cluster, bystander }: RayWorker) => cluster.docker.kill(bystander.containerName).catch(notThere),
  'container removed': ({ cluster, bystander }: RayWorker) => cluster.docker.remove(bystander.containerName).catch(notThere),
  'raylet killed': signal(programs.raylet, 'SIGKILL'),
  'raylet ended, ray start alive': signal(programs.raylet, 'SIGTERM'),
  'raylet hung': signal(programs.raylet, 'SIGSTOP'),
  'ray start killed': signal(programs.launcher, 'SIGKILL'),
  'gcsfuse killed': signal(programs.gcsfuse, 'SIGKILL'),
  'gcsfuse hung': signal(programs.gcsfuse, 'SIGSTOP'),
} as const satisfies Readonly<Record<string, (worker: RayWorker) => Promise<void>>>;
export type FaultName = keyof typeof faults;

/** The engine says so of a container that is gone, not running, or being removed by somebody else. */
function notThere(error: Error): void {
  if (!/: (?:404|409) /.test(error.message)) throw error;
}
