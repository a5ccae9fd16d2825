/** The whole document. */
import { parseFingerprint } from '@relight/shared/certificate';
import { command } from './commands.ts';
import { defaults } from './defaults.ts';
import { list, object, record, type Reader } from './fields.ts';
import { defaultHost, host } from './host.ts';
import { child, describe, type Located } from './located.ts';
import { fail } from './problems.ts';
import { duration, hostPath, isUrl, looseText, plain, trimSlashes, variableName } from './scalars.ts';
import type { AgentSpec, CollectorSpec, ControlSpec, VarSpec } from './spec.ts';
import { stateDirProblem } from './state-dir.ts';
import { workload, workloadDuplicates } from './workload.ts';

/** Null: this host has no group of that name. 'away': who knows its groups does not answer, so it may have. */
export type GroupIds = (name: string) => number | 'away' | null;

export interface AgentContext {
  readonly file: string;
  /** Of the file. */
  readonly directory: string;
  readonly hostname: string;
  readonly groupId?: GroupIds;
}

export function agent({ file, directory, hostname, groupId = () => null }: AgentContext): Reader<AgentSpec> {
  return object((fields) => {
    fields.required('version', version);
    for (const problem of workloadDuplicates(child(fields.node, 'workloads'))) fields.problem(problem);
    const vars = new Set(variableNames(child(fields.node, 'vars')));
    const spec: AgentSpec = {
      file,
      host: fields.optional('host', host({ directory, hostname }), defaultHost(hostname)),
      collector: fields.optional('collector', collector(directory), null),
      stateDir: fields.optional('state_dir', stateDir(directory), defaults.stateDir),
      control: fields.optional('control', control(groupId), defaults.control),
      engine: fields.optional('engine', engine(directory), { socket: defaults.engineSocket }),
      vars: fields.optional('vars', variables, []),
      workloads: fields.required('workloads', list(workload({ directory, vars }))),
    };
    return () => spec;
  });
}

const stateDir =
  (directory: string): Reader<string> =>
  (node) => {
    const path = hostPath(directory)(node);
    const problem = stateDirProblem(path);
    return problem === undefined ? path : fail(node, problem);
  };

const control = (groupId: GroupIds): Reader<ControlSpec> =>
  object((fields) => {
    const group = fields.optional('group', groupOfHost(groupId), defaults.control.group);
    return () => ({ group });
  });

const groupOfHost =
  (groupId: GroupIds): Reader<ControlSpec['group']> =>
  (node) => {
    const value = plain(node);
    const id = groupId(value);
    return id === null
      ? fail(node, `there is no group ${describe(node)} on this host; make it (groupadd --system NAME), or name one of \`getent group\``)
      : { name: value, id: id === 'away' ? null : id };
  };

const version: Reader<1> = (node) =>
  node.kind === 'scalar' && node.value === 1
    ? 1
    : fail(node, `must be 1, the only version that this agent understands, not ${describe(node)}`);

const collector = (directory: string): Reader<CollectorSpec> =>
  object((fields) => {
    const spec: CollectorSpec = {
      url: fields.required('url', baseUrl),
      tokenFile: fields.optional('token_file', hostPath(directory), null),
      caFile: fields.optional('ca_file', hostPath(directory), null),
      fingerprint: fields.optional('fingerprint', fingerprint, null),
      joinedFile: null,
    };
    fields.refuse({ token: 'secrets do not belong into this file; write the token into a file and name it in token_file' });
    return () =>
      spec.fingerprint !== null && /^(?:http|ws):/.test(spec.url)
        ? fields.fail('fingerprint', 'needs an https or wss address: without TLS there is no certificate')
        : spec;
  });

const fingerprint: Reader<string> = (node) =>
  parseFingerprint(plain(node)) ??
  fail(node, `must be a SHA-256 of 64 hex digits, as relight-collector certificate show says it, not ${describe(node)}`);

const baseUrl: Reader<string> = (node) => {
  const value = plain(node);
  const allowed = 'a base URL with http, https, ws or wss, such as wss://collector.example:7460';
  if (!isUrl(value, ['http:', 'https:', 'ws:', 'wss:']))
    fail(node, `must be ${allowed}, not ${describe(node).replace(/\/\/[^@/]*@/, '//…@')}`);
  const url = new URL(value);
  if (url.username !== '' || url.password !== '') fail(node, 'must hold no credentials; use token_file');
  if (url.search !== '' || url.hash !== '') fail(node, `must be ${allowed}, without "?" and "#"`);
  return trimSlashes(value);
};

const engine = (directory: string): Reader<AgentSpec['engine']> =>
  object((fields) => {
    const socket = fields.optional('socket', (node) => socketPath(directory, node), defaults.engineSocket);
    return () => ({ socket });
  });

function socketPath(directory: string, node: Located): string {
  const value = plain(node);
  if (/^(tcp|ssh|https?|npipe|fd):/.test(value))
    fail(node, `${describe(node)}: the agent speaks to the engine of its own host only; name its unix socket`);
  const path = value.replace(/^unix:\/\//, '');
  return hostPath(directory)({ ...node, kind: 'scalar', value: path, source: path });
}

const variableNames = (node: Located | undefined): readonly string[] => (node?.kind === 'map' ? node.entries.map(({ key }) => key) : []);

const variables: Reader<readonly VarSpec[]> = (node) => {
  const value = record<(key: string) => VarSpec>((item) => {
    if (item.kind !== 'map') {
      const literal = looseText(item);
      return (key) => ({ name: key, value: literal });
    }
    return object((fields) => {
      const run = fields.required('run', command);
      const timeoutMs = fields.optional('timeout', duration(), defaults.variableTimeoutMs);
      return () => (key: string) => ({ name: key, run, timeoutMs });
    })(item);
  }, variableName)(node);
  return Object.entries(value).map(([key, build]) => build(key));
};
