/** The three answers of `setup`: from flags, from what is proposed, or from a person. */
import { RelightError } from '@relight/shared/errors';
import { choiceOf, conflict, isChoice, parseChoice, rayChoice, type Choice, type Choices } from './choices.ts';
import { isName, isPlainHostname, oneLine, type FoundContainer, type SetupFacts } from './facts.ts';

export interface SetupFlags {
  readonly config: string;
  readonly container?: readonly string[];
  readonly rayYaml?: string;
  readonly nodeType?: string;
  readonly head?: string;
  /** False: --no-workloads. */
  readonly workloads?: boolean;
  /** False: --no-collector. */
  readonly collector?: string | false;
  readonly joinToken?: string;
  readonly fingerprint?: string;
  readonly caFile?: string;
  readonly allowPlaintext?: true;
  readonly host?: string;
  readonly label?: readonly string[];
  readonly stateDir?: string;
  readonly socket?: string;
  readonly yes?: true;
  readonly dryRun?: true;
  readonly force?: true;
  /** False: --no-start. */
  readonly start?: boolean;
}

export interface JoinAnswer {
  readonly url: string;
  readonly token: string;
  readonly fingerprint?: string;
  readonly caFile?: string;
  readonly allowPlaintext?: true;
}

export interface HostAnswer {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

export interface Answers {
  readonly chosen: readonly Choice[];
  /** Null: no other than what this host has joined already, if any. */
  readonly join: JoinAnswer | null;
  readonly host: HostAnswer;
}

/** A person at a terminal. */
export interface Asker {
  /** Rejects with Interrupted when the person leaves. */
  ask(question: string): Promise<string>;
}
export class Interrupted extends Error {}

/** Fails with usage, not-found, cannot-adopt or engine-unreachable; with Interrupted when the person leaves. */
export async function answersOf(facts: SetupFacts, choices: Choices, flags: SetupFlags, asker: Asker | null): Promise<Answers> {
  checkFlags(flags);
  const chosen = chosenByFlags(facts, flags);
  const join = joinByFlags(facts, flags);
  const host = hostByFlags(facts, flags);
  if (flags.yes === true) {
    if (chosen === undefined) mustHaveSeenAll(facts);
    return { chosen: chosen ?? choices.proposed, join: join ?? null, host: host ?? defaultHost(facts) };
  }
  if (asker === null) {
    const missing = [
      ...(chosen === undefined ? ['which containers to keep (--container NAME, --ray-yaml FILE or --no-workloads)'] : []),
      ...(join === undefined
        ? [
            'where the collector is (--collector URL and --join-token TOKEN or --token-file FILE, with --fingerprint SHA256 where the line has one, or --no-collector)',
          ]
        : []),
      ...(host === undefined && !isPlainHostname(facts.hostname) ? ['what this host is called (--host NAME)'] : []),
    ];
    if (missing.length > 0) {
      throw new RelightError('usage', `there is no terminal to ask on, and it is not said ${missing.join('; ')}`, {
        advice: 'Give these flags, or --yes for what is proposed; --yes --dry-run shows that first.',
      });
    }
  }
  return {
    chosen: chosen ?? (await asked(asker, choiceQuestion(choices), (text) => parseChoice(text, choices))),
    join: join === undefined ? await asked(asker, joinQuestion, parseJoin) : join,
    host:
      host ?? (asker === null ? defaultHost(facts) : await asked(asker, hostQuestion(facts), (text) => parseHost(text, facts.hostname))),
  };
}

/** Nobody looks at what is taken unasked, and a host that is set up is not set up again: half a look would be what it keeps for ever. */
function mustHaveSeenAll({ engine, unread }: SetupFacts): void {
  const missing = 'problem' in engine ? engine : unread[0];
  if (missing === undefined) return;
  throw new RelightError('engine-unreachable', `what runs here is not known, so nothing can be proposed: ${oneLine(missing.problem)}`, {
    advice: `${missing.advice} Then try again. Or say what to keep: --container NAME, --ray-yaml FILE or --no-workloads.`,
  });
}

/** Asks until the answer can be used. */
async function asked<T>(asker: Asker | null, question: string, parse: (answer: string) => T | string): Promise<T> {
  if (asker === null) throw new Error('nobody to ask');
  for (let text = question; ;) {
    const answer = parse((await asker.ask(text)).trim());
    if (typeof answer !== 'string') return answer;
    text = `   ${answer}\n   > `;
  }
}

function choiceQuestion({ all, proposed }: Choices): string {
  const list = all.map(({ say }, i) => `   ${i + 1}  ${say}\n`).join('');
  const preset = proposed.length === 0 ? 'none' : proposed.map((choice) => all.indexOf(choice) + 1).join(', ');
  return `1. Which of these shall Relight keep useful?\n${list}${list === '' ? '   (nothing was found)\n' : ''}   Numbers or names, all, or none [${preset}]: `;
}

const joinQuestion = `2. Which collector shall this host report to?
   The line that "relight-collector init" has printed (relight-agent join URL TOKEN …), or none [none]: `;

/** Once more, after what was answered did not do: what was wrong with it, and what a person can do. */
export function askJoinAgain(asker: Asker, { message, advice }: RelightError): Promise<JoinAnswer | null> {
  const question = `\n   ${oneLine(message)}\n   ${oneLine(advice)}\n   The line once more, corrected, or none [none]: `;
  return asked(asker, question, parseJoin);
}

function hostQuestion({ hostname }: SetupFacts): string {
  const preset = isPlainHostname(hostname) ? ` [${hostname}]` : '';
  return `3. What is this host called, and by which labels is it found (tpu-v5e-0 pool=v5e zone=us-west4-a)?\n   A name, and labels if any${preset}: `;
}

function checkFlags({ collector, joinToken, container, rayYaml, workloads, fingerprint, caFile, nodeType, head }: SetupFlags): void {
  const wrong = (message: string, advice: string): never => {
    throw new RelightError('usage', message, { advice });
  };
  if (typeof collector === 'string' && joinToken === undefined) {
    wrong(
      '--collector needs --join-token (-: from stdin) or --token-file',
      'Make one on the collector: relight-collector token create --kind join. Or --no-collector, and join later.',
    );
  }
  if (typeof collector !== 'string' && (joinToken ?? fingerprint ?? caFile) !== undefined) {
    wrong('--join-token, --token-file, --fingerprint and --ca-file belong to --collector', 'Add --collector URL.');
  }
  if (workloads === false && (container !== undefined || rayYaml !== undefined)) {
    wrong('--no-workloads does not go with --container and --ray-yaml', 'Leave one of them out.');
  }
  if (rayYaml === undefined && workloads === false && (nodeType ?? head) !== undefined) {
    wrong('--node-type and --head belong to a cluster file', 'Add --ray-yaml FILE, or leave them out.');
  }
}

/** Undefined: the flags do not say. */
function chosenByFlags(facts: SetupFacts, { container, rayYaml, workloads }: SetupFlags): readonly Choice[] | undefined {
  if (workloads === false) return [];
  if (container === undefined && rayYaml === undefined) return undefined;
  const named = [...new Set(container)].map((name) => namedChoice(facts, name));
  const ray = rayYaml === undefined ? [] : [namedRay(rayYaml, facts)];
  const chosen = [...ray, ...named];
  const problem = conflict(chosen);
  if (problem !== null) throw new RelightError('usage', problem, { advice: 'Leave one of them out.' });
  return chosen;
}

function namedChoice({ containers, engine }: SetupFacts, name: string): Choice {
  if (!isName(name))
    throw new RelightError('usage', `--container ${JSON.stringify(name)}: that is no name of a container`, {
      advice: 'Look at: docker ps.',
    });
  const found = containers.find((container) => container.name === name);
  if (found === undefined && 'version' in engine) {
    throw new RelightError('not-found', `there is no container named ${JSON.stringify(name)}`, { advice: 'Look at: docker ps --all' });
  }
  const choice = choiceOf(found ?? unseen(name));
  if (isChoice(choice)) return choice;
  throw new RelightError('cannot-adopt', choice.problem, { advice: choice.advice });
}

/** Without an engine nobody knows; it is taken over as soon as it is there. */
const unseen = (name: string): FoundContainer => ({
  name,
  image: '',
  running: false,
  usesAccelerators: false,
  isOurs: false,
  madeFor: null,
  refusal: null,
  keeper: null,
  isUpdater: false,
  imported: null,
});

function namedRay(file: string, { rayFiles }: SetupFacts): Choice {
  const imported = rayFiles.find((found) => found.file === file)?.imported;
  if (imported === undefined) throw new RelightError('config-unreadable', `${file}: there is no such file`);
  if (!('yaml' in imported)) throw new RelightError('usage', imported.problem, { advice: imported.advice });
  return rayChoice(file, imported);
}

/** Undefined: the flags do not say. Null: none beyond what is joined. */
function joinByFlags({ joined }: SetupFacts, flags: SetupFlags): JoinAnswer | null | undefined {
  const { collector, joinToken, fingerprint, caFile, allowPlaintext } = flags;
  if (typeof collector === 'string' && joinToken !== undefined) {
    return {
      url: collector,
      token: joinToken,
      ...(fingerprint === undefined ? {} : { fingerprint }),
      ...(caFile === undefined ? {} : { caFile }),
      ...(allowPlaintext === undefined ? {} : { allowPlaintext }),
    };
  }
  return collector === false || joined !== null ? null : undefined;
}

function hostByFlags(facts: SetupFacts, { host, label }: SetupFlags): HostAnswer | undefined {
  if (host === undefined && label === undefined) return undefined;
  const wrong = [...(host?.includes('=') === true ? [host] : []), ...(label ?? []).filter((word) => !word.includes('='))];
  const answer =
    wrong.length > 0
      ? `${wrong.map(oneLine).join(', ')}: --host takes a name, --label key=value`
      : parseHost(words(host, label), facts.hostname);
  if (typeof answer === 'string') throw new RelightError('usage', answer, { advice: 'For instance: --host tpu-v5e-0 --label pool=v5e' });
  return answer;
}

const words = (host: string | undefined, label: readonly string[] = []): readonly string[] => [
  ...(host === undefined ? [] : [host]),
  ...label,
];

function defaultHost({ hostname }: SetupFacts): HostAnswer {
  if (isPlainHostname(hostname)) return { name: hostname, labels: {} };
  throw new RelightError('usage', `the hostname ${JSON.stringify(hostname)} does not tell this host from others`, {
    advice: 'Name it: --host NAME.',
  });
}

/** The line of `relight-collector init`, `none`, or nothing. Text: what is wrong with the answer. */
export function parseJoin(answer: string): JoinAnswer | null | string {
  const words = answer.split(/\s+/).filter((word) => word !== '' && word !== '$' && word !== 'sudo');
  if (words.length === 0 || (words.length === 1 && words[0] === 'none')) return null;
  const rest = words[0] === 'relight-agent' && words[1] === 'join' ? words.slice(2) : words;
  const values: Record<string, string> = {};
  const plain: string[] = [];
  for (let i = 0; i < rest.length; i++) {
    const [flag = '', inline] = (rest[i] ?? '').split(/=(.*)/s);
    if (flag === '--allow-plaintext') values[flag] = 'yes';
    else if (flag === '--fingerprint' || flag === '--ca-file') values[flag] = inline ?? rest[++i] ?? '';
    else if (flag.startsWith('-')) return `${flag} is not known here. Paste the line as relight-collector has printed it, or answer none.`;
    else plain.push(rest[i] ?? '');
  }
  const [url, token, ...more] = plain;
  if (url === undefined || token === undefined || more.length > 0 || !token.startsWith('rlj_')) {
    return 'Needed are an address and a join token (rlj_…), made by: relight-collector token create --kind join. Or answer none, and join later.';
  }
  return {
    url,
    token,
    ...(values['--fingerprint'] === undefined ? {} : { fingerprint: values['--fingerprint'] }),
    ...(values['--ca-file'] === undefined ? {} : { caFile: values['--ca-file'] }),
    ...(values['--allow-plaintext'] === undefined ? {} : { allowPlaintext: true }),
  };
}

/** A name, and labels as key=value. Text: what is wrong. */
export function parseHost(answer: string | readonly string[], hostname: string): HostAnswer | string {
  const words = typeof answer === 'string' ? answer.split(/\s+/).filter((word) => word !== '') : answer;
  const names = words.filter((word) => !word.includes('='));
  const [name = isPlainHostname(hostname) ? hostname : undefined, second] = names;
  if (second !== undefined) return `one name is needed, and labels as key=value, not ${JSON.stringify(oneLine(second))}`;
  if (name === undefined) return `the hostname ${JSON.stringify(hostname)} does not tell this host from others: give a name`;
  if (!isName(name)) return `${JSON.stringify(oneLine(name))} is not a name: at most 63 of a-z, A-Z, 0-9, "_", "." and "-"`;
  const labels: Record<string, string> = {};
  for (const word of words.filter((item) => item.includes('='))) {
    const [key = '', value = ''] = word.split(/=(.*)/s);
    if (!isName(key) || value === '' || oneLine(value) !== value)
      return `${JSON.stringify(oneLine(word))} is not a label: key=value, such as pool=v5e`;
    if (Object.hasOwn(labels, key)) return `the label ${key} is given twice`;
    labels[key] = value;
  }
  return { name, labels };
}
