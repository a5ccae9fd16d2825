/** The drafts → YAML with comments, in the order in which things happen. */
import { Document, isMap, isScalar, isSeq, type Node } from 'yaml';
import type { ContainerDraft } from '../draft.ts';
import type { HostDraft, MountDraft, SetupDraft } from './commands.ts';
import type { VariableDraft } from './head.ts';
import type { StartDraft } from './start.ts';

export interface RayDraft {
  /** Of the cluster file, without its directory. */
  readonly source: string;
  readonly nodeType: string | null;
  readonly host: readonly HostDraft[];
  readonly variables: Readonly<Record<string, VariableDraft>>;
  readonly container: ContainerDraft;
  readonly setup: readonly SetupDraft[];
  readonly start: StartDraft;
}

/**
 * Ray's commands run in an interactive login shell with ~/.bashrc read anew, so that what one of them exports there holds for the
 * next. `$0` is the command. Without a terminal bash complains about job control when it starts: that is thrown away.
 */
export const rayShell: readonly string[] = [
  'bash',
  '-c',
  `exec bash --login -c -i 'exec 2>&3 3>&-; [ ! -r ~/.bashrc ] || source ~/.bashrc; export OMP_NUM_THREADS=1 PYTHONWARNINGS=ignore; (eval "$1")' bash "$0" 3>&2 2>/dev/null`,
];

export const workloadOfRay = 'ray-worker';

export function writeRayYaml(draft: RayDraft): string {
  const { host, variables, container, setup, start } = draft;
  const mounts = setup.filter((item) => item.kind === 'mount');
  const plain = {
    version: 1,
    ...(host.length === 0 ? {} : { host: { setup: host.map(({ run, optional }) => ({ run, ...(optional ? { optional } : {}) })) } }),
    vars: variables,
    workloads: [
      {
        name: workloadOfRay,
        ...(start.headAddress === null ? {} : { depends_on: [{ tcp: start.headAddress }] }),
        shell: rayShell,
        container: Object.fromEntries(Object.entries(container).filter(([, value]) => !isAbsent(value))),
        ...(mounts.length === 0 ? {} : { mounts: mounts.map(mountYaml) }),
        ...(setup.length === 0 ? {} : { setup: setup.map(setupYaml) }),
        ...processYaml(start),
      },
    ],
  };
  const document = new Document(plain);
  comment(document, draft);
  return document.toString({ lineWidth: 0 });
}

const isAbsent = (value: unknown): boolean =>
  value === undefined || value === null || (typeof value === 'object' && Object.keys(value).length === 0);

function mountYaml({ name, target, bucket, onlyDir, implicitDirs, options, command }: MountDraft): object {
  if (command !== null) return { name, type: 'command', run: command, target };
  return {
    name,
    type: 'gcsfuse',
    bucket,
    target,
    ...(onlyDir === null ? {} : { only_dir: onlyDir }),
    ...(implicitDirs ? { implicit_dirs: true } : {}),
    ...(options.length === 0 ? {} : { options }),
  };
}

function setupYaml(item: SetupDraft): object {
  if (item.kind === 'mount') return { mount: item.name };
  return { name: item.name, run: item.run, ...(item.optional ? { optional: true } : {}) };
}

/** The raylet answers its own health even when the head has given it up: both are asked. */
function processYaml({ process, before, agentPort }: StartDraft): object {
  if (process === null) return {};
  return {
    process: { run: process.run, ...(before === null ? {} : { before }) },
    ready: [{ ray_node: { dashboard: 'http://${RAY_HEAD_IP}:8265' } }],
    live: [
      { http: `http://127.0.0.1:${agentPort}/api/local_raylet_healthz`, interval: '10s', timeout: '5s', failures: 3, restarts: 'process' },
    ],
  };
}

function comment(document: Document, draft: RayDraft): void {
  const { source, nodeType, host, setup, start } = draft;
  document.commentBefore = ` Made by "relight-agent import ray" from ${source}${nodeType === null ? '' : `, node type ${nodeType}`}. Look through it, then:
   relight-agent check --config FILE
   relight-agent plan --config FILE`;
  const say = (path: readonly (string | number)[], text: string): void => commentOn(document, path, text);
  say(['host'], 'initialization_commands: on the host, before the container, again after each reboot; as root');
  host.forEach((item, index) => say(['host', 'setup', index], origin(source, item.line, item.remarks)));
  say(['vars'], 'In the environment of every command');
  const workload = ['workloads', 0] as const;
  say([...workload, 'depends_on'], 'While the head is away nothing is tried and nothing is counted');
  say([...workload, 'shell'], "Ray's shell: interactive login, ~/.bashrc read before every command");
  say([...workload, 'container', 'pull_policy'], 'pull_before_run; with missing a dead container is back without asking the registry');
  say([...workload, 'setup'], '10 minutes for each step unless it has a timeout:, 25 for the whole way (start_deadline:)');
  setup.forEach((item, index) => say([...workload, 'setup', index], origin(source, item.line, item.kind === 'step' ? item.remarks : [])));
  if (start.process !== null) say([...workload, 'process'], origin(source, start.process.line, []));
  say([...workload, 'ready'], 'The head says that this node is ALIVE; remove it when the head has no dashboard');
  say([...workload, 'live'], "The raylet's own health, from its dashboard agent");
}

const origin = (source: string, line: number, remarks: readonly string[]): string =>
  [`${source}:${line}`, ...remarks.map((remark) => `look at: ${remark}`)].join('\n');

/** In front of the key, or of the item of a list. */
function commentOn(document: Document, path: readonly (string | number)[], text: string): void {
  const key = path.at(-1);
  const parent = document.getIn(path.slice(0, -1), true);
  let target: Node | undefined;
  if (isSeq(parent) && typeof key === 'number') target = parent.items[key] as Node | undefined;
  if (isMap(parent) || path.length === 1) {
    const map = isMap(parent) ? parent : document.contents;
    const found = isMap(map) ? map.items.find((pair) => isScalar(pair.key) && pair.key.value === key) : undefined;
    target = found?.key as Node | undefined;
  }
  if (target !== undefined) target.commentBefore = text.replaceAll(/^/gm, ' ');
}
