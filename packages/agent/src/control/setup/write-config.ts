/** Facts and answers → the text of a configuration with comments. Pure. */
import { Document, isMap, isSeq, parseDocument, type Node, type YAMLMap, type YAMLSeq } from 'yaml';
import { workloadName } from '../../config/import/draft.ts';
import { oneLine, type SetupFacts } from './facts.ts';
import type { Choice } from './choices.ts';

export interface SetupPlan {
  readonly file: string;
  readonly facts: Pick<SetupFacts, 'hostname' | 'accelerators' | 'gpus'>;
  readonly chosen: readonly Choice[];
  readonly host: { readonly name: string; readonly labels: Readonly<Record<string, string>> };
  /** Address of the collector that this host has joined, or joins before the file is written. */
  readonly collector: string | null;
  /** Null: the default. */
  readonly stateDir: string | null;
  readonly socket: string | null;
}

export function setupYaml(plan: SetupPlan): string {
  const { file, facts, chosen, stateDir, socket } = plan;
  const ray = chosen.find(({ kind }) => kind === 'ray');
  const document = ray?.kind === 'ray' ? parseDocument(ray.imported.yaml) : new Document({ version: 1, workloads: [] });
  const root = document.contents;
  if (!isMap(root)) throw new Error('a configuration is a map');
  document.commentBefore = null;
  root.commentBefore = null;
  const workloads = root.get('workloads', true);
  if (!isSeq(workloads)) throw new Error('workloads are a list');

  const host = root.get('host', true);
  const own = hostPart(plan);
  if (isMap(host)) host.items.unshift(...(document.createNode(own) as YAMLMap<Node, Node>).items);
  else if (Object.keys(own).length > 0) insert(document, root, 'host', own);
  if (stateDir !== null) insert(document, root, 'state_dir', stateDir);
  if (socket !== null) insert(document, root, 'engine', { socket });

  addWorkloads(document, workloads, chosen);
  const head = comment([
    `The Relight agent of ${plan.host.name}; written by "relight-agent setup". The agent takes up a change of this file by itself.`,
    `  relight-agent check --config ${oneLine(file)}    what is missing on this host`,
    `  relight-agent plan --config ${oneLine(file)}     what would be done, and what a change would restart`,
    '',
    ...seen(facts),
    ...(isMap(root.get('host', true))
      ? []
      : [
          'The name of this host is its hostname. For another one, and labels to find it by:',
          'host: {name: tpu-v5e-0, labels: {pool: v5e}}',
        ]),
    ...collectorLines(plan.collector),
  ]);
  return `${head}\n${document.toString({ lineWidth: 0 })}`;
}

function hostPart({ facts, host: { name, labels } }: SetupPlan): Readonly<Record<string, unknown>> {
  return {
    ...(name === facts.hostname ? {} : { name }),
    ...(Object.keys(labels).length === 0 ? {} : { labels }),
  };
}

function seen({ accelerators, gpus }: SetupPlan['facts']): readonly string[] {
  if (accelerators.length === 0) return ['No GPU or TPU was seen on this host.'];
  return [
    `Seen on this host: ${accelerators.map(oneLine).join(', ')}.`,
    ...(gpus === null || gpus === 0 ? [] : [`To be told when it boots with fewer GPUs: host: {accelerators: {gpus: ${gpus}}}`]),
  ];
}

function collectorLines(url: string | null): readonly string[] {
  if (url !== null) return [`It reports to ${oneLine(url)}, which it has joined; a collector: section here would win over that.`];
  return ['It works alone. With a collector: relight-agent join URL JOIN_TOKEN --fingerprint SHA256'];
}

/** After the version, before everything that an import brings. */
function insert(document: Document, root: YAMLMap, key: string, value: unknown): void {
  const at = root.items.findIndex((pair) => String(pair.key) === 'version') + 1;
  root.items.splice(at, 0, document.createPair(key, value) as (typeof root.items)[number]);
}

function addWorkloads(document: Document, workloads: YAMLSeq, chosen: readonly Choice[]): void {
  const taken = new Set(
    chosen.some(({ kind }) => kind === 'ray') ? workloads.items.map((item) => (isMap(item) ? String(item.get('name')) : '')) : [],
  );
  for (const choice of chosen) {
    if (choice.kind === 'ray') {
      const [first] = workloads.items;
      if (isMap(first)) say(first, `From ${oneLine(choice.name)}, as relight-agent import ray has it. Look through it.`);
      continue;
    }
    const name = freeName(workloadName(choice.name), taken);
    taken.add(name);
    const item = choice.kind === 'adopt' ? adopted(document, name, choice) : described(name, choice);
    workloads.add(item);
  }
  if (workloads.items.length > 0) workloads.flow = false;
}

function adopted(document: Document, name: string, { container }: Choice & { readonly kind: 'adopt' }): YAMLMap {
  const item = document.createNode({ name, container: { adopt: container.name } }) as YAMLMap;
  const section = item.get('container', true);
  if (isMap(section)) section.flow = true;
  say(item, `Image ${oneLine(container.image)}. Taken over as it runs, and made again exactly when it dies.`);
  item.comment = comment([
    'What makes it useful is for you to say: process:, setup:, mounts:, ready: and live: checks. For instance',
    'ready: [{tcp: "127.0.0.1:8080"}]',
  ]).replaceAll(/^#/gm, '');
  return item;
}

/** As `import container` writes it. */
function described(name: string, { container, imported }: Choice & { readonly kind: 'describe' }): YAMLMap {
  const workloads = parseDocument(imported.yaml).get('workloads', true);
  const item = isSeq(workloads) ? workloads.items[0] : undefined;
  if (!isMap(item)) throw new Error('an import makes a workload');
  item.set('name', name);
  say(item, `As the container ${container.name} was started. It is made anew: remove the one that runs, docker rm -f ${container.name}`);
  return item;
}

const say = (item: YAMLMap, text: string): void => {
  item.commentBefore = ` ${text}`;
};

function freeName(wanted: string, taken: ReadonlySet<string>): string {
  for (let number = 1; ; number++) {
    const end = number === 1 ? '' : `-${number}`;
    const name = `${wanted.slice(0, 63 - end.length)}${end}`;
    if (!taken.has(name)) return name;
  }
}

const comment = (lines: readonly string[]): string => lines.map((line) => (line === '' ? '#' : `# ${line}`)).join('\n');
