/** A Ray cluster YAML → the parts that concern one worker, merged as `ray up` merges them. Every part knows its line. */
import { RelightError } from '@relight/shared/errors';
import { suggest } from '@relight/shared/suggest';
import { child, describe, parseLocated, type Located } from '../../located.ts';
import { fail, formatProblems, Invalid } from '../../problems.ts';
import type { RayReport } from './report.ts';

export interface RayCommand {
  readonly text: string;
  readonly line: number;
}

export interface RayDocker {
  readonly line: number;
  readonly image: string;
  readonly containerName: string;
  readonly pullBeforeRun: boolean;
  /** `run_options + worker_run_options`, raw shell text. */
  readonly options: readonly RayCommand[];
  readonly detectShmSize: boolean;
  readonly detectRuntime: boolean;
}

export interface RayWorker {
  readonly clusterName: string;
  /** Null: the file knows no types. */
  readonly nodeType: string | null;
  readonly provider: Readonly<Record<string, string>>;
  readonly docker: RayDocker;
  readonly initialization: readonly RayCommand[];
  readonly setup: readonly RayCommand[];
  /** Null: not given, so Ray's default holds. */
  readonly start: readonly RayCommand[] | null;
  /** As JSON; null: none. */
  readonly resources: string | null;
  readonly labels: string | null;
}

/** Ray's own, when the file says nothing. */
const defaultContainerName = 'ray_container';

/** Fails with config-invalid, or usage when the node type is the question. */
export function readRayCluster(text: string, file: string, nodeType: string | undefined, report: RayReport): RayWorker {
  try {
    refuseTemplates(text);
    if (text.trim() === '') fail({ line: 1, column: 1, path: '' }, 'the file is empty; it must be a Ray cluster YAML');
    const root = parseLocated(text);
    if (root.kind !== 'map') fail(root, `must be a Ray cluster YAML (key: value), not ${describe(root)}`);
    return worker(root, nodeType, report);
  } catch (thrown) {
    if (!(thrown instanceof Invalid)) throw thrown;
    throw new RelightError('config-invalid', formatProblems(file, thrown.problems), {
      advice: 'Name the cluster YAML that works with `ray up`, as Ray itself reads it.',
      data: { problems: thrown.problems.length },
    });
  }
}

/** `{{ name }}`, `{% if %}`; Docker's own `--format '{{.Names}}'` and `{{json .}}` are no templates of this file. */
function refuseTemplates(text: string): void {
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trimStart().startsWith('#')) continue;
    const at = line.search(/\{%|\{\{(?!-?\s*(?:\.|json\b|range\b|end\b|index\b|len\b|println?\b|join\b|if\s|with\s))/);
    if (at < 0) continue;
    fail(
      { line: index + 1, column: at + 1, path: '' },
      `a Jinja template (${line.slice(at, at + 30).trim()} …): render it first; Ray itself reads only the rendered file`,
    );
  }
}

function worker(root: Located, wanted: string | undefined, report: RayReport): RayWorker {
  const types = child(root, 'available_node_types');
  const headType = textAt(root, 'head_node_type');
  const nodeType = chooseType(types, headType, wanted, root);
  const type = nodeType === null || types === undefined ? undefined : child(types, nodeType);
  const provider = strings(child(root, 'provider'));
  const setup = commandsOf(root, 'setup_commands') ?? [];
  const workerSetup = commandsOf(root, 'worker_setup_commands') ?? [];
  const ownSetup = type === undefined ? null : commandsOf(type, 'worker_setup_commands');
  if (ownSetup !== null) {
    const first = setup[0] ?? workerSetup[0];
    if (first !== undefined) {
      const lists = [...(setup.length > 0 ? ['setup_commands'] : []), ...(workerSetup.length > 0 ? ['worker_setup_commands'] : [])];
      report.left(
        first.line,
        `${lists.join(' and ')}: the node type ${nodeType} has worker_setup_commands of its own, which replace them in Ray`,
      );
    }
  }
  return {
    clusterName: textAt(root, 'cluster_name') ?? 'default',
    nodeType,
    provider,
    docker: docker(root, type, nodeType),
    initialization:
      (type === undefined ? null : commandsOf(type, 'initialization_commands')) ?? commandsOf(root, 'initialization_commands') ?? [],
    setup: ownSetup ?? [...setup, ...workerSetup],
    start: commandsOf(root, 'worker_start_ray_commands'),
    // A list of hosts has no types to override anything of.
    resources: provider['type'] === 'local' ? null : jsonAt(type, 'resources'),
    labels: provider['type'] === 'local' ? null : jsonAt(type, 'labels'),
  };
}

function chooseType(types: Located | undefined, headType: string | undefined, wanted: string | undefined, root: Located): string | null {
  const names = types?.kind === 'map' ? types.entries.map(({ key }) => key) : [];
  const workers = names.filter((name) => name !== headType);
  const list = workers.length === 0 ? 'none' : workers.join(', ');
  if (wanted !== undefined) {
    if (wanted === headType) {
      throw new RelightError('usage', `--node-type ${wanted}: that is the head's type (head_node_type); a worker's is needed: ${list}`, {
        advice: 'The commands of the head are not imported: nothing rejoins a head that was set up anew.',
      });
    }
    if (workers.includes(wanted)) return wanted;
    const near = suggest(wanted, workers);
    throw new RelightError(
      'usage',
      `--node-type ${wanted}: the file has no such node type; ${near === undefined ? `it has ${list}` : `did you mean ${near}?`}`,
      {
        advice: `Worker types in line ${types?.line ?? root.line}: ${list}.`,
      },
    );
  }
  if (workers.length <= 1) return workers[0] ?? null;
  throw new RelightError('usage', `the file has ${workers.length} worker types: ${list}; which one is this host?`, {
    advice: 'Name it with --node-type.',
  });
}

function docker(root: Located, type: Located | undefined, nodeType: string | null): RayDocker {
  const general = child(root, 'docker');
  const own = type === undefined ? undefined : child(type, 'docker');
  const at = (key: string): Located | undefined => {
    const value = (own === undefined ? undefined : child(own, key)) ?? (general === undefined ? undefined : child(general, key));
    return value?.kind === 'scalar' && value.value === null ? undefined : value;
  };
  const place = own ?? general ?? root;
  const podman = at('use_podman');
  if (podman !== undefined && truth(podman))
    fail(podman, 'Relight works with the Docker Engine only; it cannot take over a Podman container');
  const image = at('worker_image') ?? at('image');
  const name = image === undefined ? '' : plainText(image);
  if (image === undefined || name === '') {
    const where = nodeType === null ? '' : ` and neither has node type ${nodeType}`;
    fail(place, `docker.image is missing${where}: Relight keeps containers alive, and this cluster runs Ray directly on its hosts`);
  }
  const pull = at('pull_before_run');
  const containerName = at('container_name');
  return {
    line: image.line,
    image: name,
    containerName: containerName === undefined ? defaultContainerName : plainText(containerName),
    pullBeforeRun: pull === undefined || truth(pull),
    options: ['run_options', 'worker_run_options'].flatMap((key) => commandList(at(key)) ?? []),
    detectShmSize: !flag(at('disable_shm_size_detection')),
    detectRuntime: !flag(at('disable_automatic_runtime_detection')),
  };
}

const flag = (node: Located | undefined): boolean => node !== undefined && truth(node);
const truth = (node: Located): boolean =>
  node.kind === 'scalar' && typeof node.value === 'boolean' ? node.value : fail(node, `must be true or false, not ${describe(node)}`);
const plainText = (node: Located): string =>
  node.kind === 'scalar' && node.value !== null ? node.source : fail(node, `must be text, not ${describe(node)}`);

function textAt(node: Located, key: string): string | undefined {
  const value = child(node, key);
  return value === undefined || (value.kind === 'scalar' && value.value === null) ? undefined : plainText(value);
}

function commandsOf(node: Located, key: string): readonly RayCommand[] | null {
  return commandList(child(node, key));
}

function commandList(node: Located | undefined): readonly RayCommand[] | null {
  if (node === undefined || (node.kind === 'scalar' && node.value === null)) return null;
  if (node.kind !== 'list') return fail(node, `must be a list of commands, not ${describe(node)}`);
  return node.items.map((item) => {
    if (item.kind !== 'scalar' || typeof item.value !== 'string') {
      return fail(item, `must be text, not ${describe(item)}${item.kind === 'map' ? '; a command with ": " in it needs quotes' : ''}`);
    }
    return { text: item.value, line: item.line };
  });
}

function strings(node: Located | undefined): Readonly<Record<string, string>> {
  if (node?.kind !== 'map') return {};
  return Object.fromEntries(node.entries.flatMap(({ key, node: value }) => (value.kind === 'scalar' ? [[key, value.source]] : [])));
}

function jsonAt(node: Located | undefined, key: string): string | null {
  const value = node === undefined ? undefined : child(node, key);
  if (value === undefined) return null;
  const plain = toPlain(value);
  return typeof plain !== 'object' || plain === null || Object.keys(plain).length === 0 ? null : JSON.stringify(plain);
}

function toPlain(node: Located): unknown {
  if (node.kind === 'scalar') return node.value;
  if (node.kind === 'list') return node.items.map(toPlain);
  return Object.fromEntries(node.entries.map(({ key, node: value }) => [key, toPlain(value)]));
}
