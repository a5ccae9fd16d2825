/** The reference of the configuration and the loader say the same: examples load, fields are complete, defaults and impacts are the real ones. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { parse as parseYaml, stringify } from 'yaml';
import { codeOf, isAgentExample, readPage, tableRows, yamlExamples } from '../../../../test/support/docs.ts';
import { compareAgents } from './agent-change.ts';
import { Fields } from './fields.ts';
import { compareFingerprints } from './impact.ts';
import { parseConfig } from './load.ts';
import type { AgentSpec } from './spec.ts';

const reference = readPage('docs/reference/agent-configuration.md');
const page = readPage('docs/configuration.md') + reference;
const rows = tableRows(reference, 'field');
const examples = yamlExamples().filter(isAgentExample);
const load = (text: string): AgentSpec => parseConfig(text, '/etc/relight/agent.yaml', { hostname: 'host-a', groupId: () => 4 });

type Values = Record<string, unknown>;
type Whole = (part: Values) => Values;

const workload: Whole = (part) => ({ version: 1, workloads: [part] });
const inside =
  (key: string, whole: (part: unknown) => unknown = (part) => part): Whole =>
  (part) =>
    workload({ name: 'w', container: { image: 'b' }, process: { run: 'x' }, [key]: whole(part) });
const listed = (part: unknown): unknown => [part];

interface Section {
  /** Whole documents around one map of this section. */
  readonly whole: Whole;
  /** What must be there beside the field in question. */
  readonly needs: Values;
  /** Where its fields stand in messages. */
  readonly path: RegExp;
  /** Where its fields stand in a fingerprint; null: outside of every workload, or below a field that is compared as a whole. */
  readonly impact: string | null;
}

const section = (whole: Whole, needs: Values, path: RegExp, impact: string | null = null): Section => ({ whole, needs, path, impact });
const top = (key: string, needs: Values = {}): Section =>
  section((part) => ({ version: 1, workloads: [], [key]: part }), needs, new RegExp(`^${key}$`));
const step: Values = { run: 'x' };
const hostPart = (
  key: string,
  needs: Values = {},
  form: (part: unknown) => unknown = (part) => part,
  path = new RegExp(`^host\\.${key}$`),
): Section => section((part) => ({ version: 1, workloads: [], host: { [key]: form(part) } }), needs, path);
const mountOf = (check: unknown): unknown => [{ name: 'm', type: 'command', run: 'x', target: '/m', check }];
const policy = (level: string): Section =>
  section(
    inside('restart', (part) => ({ [level]: part })),
    {},
    new RegExp(`restart\\.${level}$`),
  );

const sections: Readonly<Record<string, Section>> = {
  'Top level': section((part) => part, { version: 1, workloads: [] }, /^$/),
  host: top('host'),
  'host.gate': hostPart('gate'),
  'host.accelerators': hostPart('accelerators'),
  'host.guard': hostPart('guard'),
  'host.setup[]': hostPart('setup', step, listed, /^host\.setup\[0\]$/),
  collector: top('collector', { url: 'http://c:1' }),
  control: top('control'),
  engine: top('engine'),
  'vars.NAME': section((part) => ({ version: 1, workloads: [], vars: { V: part } }), { run: 'x' }, /^vars\.V$/),
  'workloads[]': section(workload, { name: 'w', container: { image: 'b' } }, /^workloads\[0\]$/, ''),
  'workloads[].container': section(inside('container'), { image: 'b' }, /^workloads\[0\]\.container$/, 'container.'),
  'workloads[].mounts[].check': section(inside('mounts', mountOf), {}, /mounts\[0\]\.check$/),
  'workloads[].setup[]': section(inside('setup', listed), step, /setup\[0\]$/, 'setup[s].'),
  'workloads[].setup[].retry': section(
    inside('setup', (retry) => [{ ...step, retry }]),
    {},
    /setup\[0\]\.retry$/,
  ),
  'workloads[].process': section(inside('process'), { run: 'x' }, /process$/, 'process.'),
  'workloads[].depends_on[]': section(inside('depends_on', listed), { tcp: 'a:1' }, /depends_on\[0\]$/),
  'workloads[].ready[]': section(inside('ready', listed), { tcp: 'a:1' }, /ready\[0\]$/),
  'workloads[].ready[].ray_node': section(
    inside('ready', (node) => [{ ray_node: node }]),
    { dashboard: 'http://h:8265' },
    /ready\[0\]\.ray_node$/,
  ),
  'workloads[].live[]': section(inside('live', listed), { tcp: 'a:1' }, /live\[0\]$/),
  'workloads[].restart.process': policy('process'),
  'workloads[].restart.container': policy('container'),
  'workloads[].logs': section(inside('logs'), {}, /logs$/),
};
const mounts = {
  gcsfuse: section(
    inside('mounts', listed),
    { name: 'm', type: 'gcsfuse', bucket: 'b', target: '/m' },
    /^workloads\[0\]\.mounts\[0\]$/,
    'mounts[m].',
  ),
  command: section(
    inside('mounts', listed),
    { name: 'm', type: 'command', run: 'x', target: '/m' },
    /^workloads\[0\]\.mounts\[0\]$/,
    'mounts[m].',
  ),
};
const gcsfuseFields: ReadonlySet<string> = new Set(['bucket', 'only_dir', 'implicit_dirs', 'options']);

function sectionOf(name: string, field: string): Section {
  if (name === 'workloads[].mounts[]') return gcsfuseFields.has(field) ? mounts.gcsfuse : mounts.command;
  const known = sections[name];
  if (known === undefined)
    throw new Error(`docs/reference/agent-configuration.md has a table under "${name}" that this test does not know`);
  return known;
}

interface Asked {
  /** The place of the map, and the name. */
  readonly known: readonly (readonly [string, string])[];
  readonly refused: readonly string[];
}

/** Every name that readers ask for or refuse while `action` runs. */
function namesAsked(action: () => unknown): Asked {
  const spies = [vi.spyOn(Fields.prototype, 'optional'), vi.spyOn(Fields.prototype, 'nullable')] as const;
  const refusals = vi.spyOn(Fields.prototype, 'refuse');
  try {
    action();
    return {
      known: spies.flatMap(({ mock }) => mock.calls.map(([key], i) => [(mock.contexts[i] as Fields).node.path, key] as const)),
      refused: refusals.mock.calls.flatMap(([reasons]) => Object.keys(reasons)),
    };
  } finally {
    vi.restoreAllMocks();
  }
}

/** What the readers' sources ask for, whether or not an example reaches them. */
function namesInSource(): ReadonlySet<string> {
  const files = readdirSync(import.meta.dirname, { recursive: true, encoding: 'utf8' });
  const sources = files.filter((file) => /^(?!import).*(?<!\.test)\.ts$/.test(file));
  const text = sources.map((file) => readFileSync(join(import.meta.dirname, file), 'utf8')).join('\n');
  const asked = text.matchAll(/\bfields\s*\.(?:required|optional|nullable)(?:<[^(]*>)?\(\s*'(\w+)'/g);
  return new Set([...asked].map((match) => match[1] ?? ''));
}

const shown = (name: string): boolean => page.includes(`\`${name}\``) || new RegExp(`[{ \`]${name}:`).test(page);

describe('docs/reference/agent-configuration.md', () => {
  it.each(examples)('$place is a file that the agent takes', ({ text }) => {
    expect(load(text).workloads).not.toHaveLength(0);
  });

  it('names every field that a reader knows', () => {
    const { known, refused } = namesAsked(() => examples.forEach(({ text }) => load(text)));
    const names = namesInSource();
    const used = new Set(known.map(([, name]) => name));
    // Each net catches what the other misses: readers that no example reaches, and names that no pattern finds.
    expect([...used].filter((name) => !names.has(name))).toEqual([]);
    expect([...names].filter((name) => !used.has(name))).toEqual([]);
    expect([...names, ...refused].filter((name) => !shown(name))).toEqual([]);
  });

  it.each(Object.keys(sections))('has one row for each field of %s, and no other', (name) => {
    const { whole, needs, path } = sectionOf(name, '');
    const { known } = namesAsked(() => load(stringify(whole(needs))));
    const fields = new Set(known.filter(([place]) => path.test(place)).map(([, field]) => field));
    const own = rows.filter((row) => row.section === name).map((row) => codeOf(row.cells[0]) ?? '');
    const inherited = name === 'workloads[].live[]' ? rows.filter((row) => row.section === 'workloads[].ready[]') : [];
    expect(new Set([...own, ...inherited.map((row) => codeOf(row.cells[0]) ?? '')])).toEqual(fields);
    expect(new Set(own).size).toBe(own.length);
  });

  it('has one row for each field of a mount, and no other', () => {
    const asked = Object.values(mounts).flatMap(({ whole, needs, path }) =>
      namesAsked(() => load(stringify(whole(needs)))).known.flatMap(([place, field]) => (path.test(place) ? [field] : [])),
    );
    const own = rows.filter((row) => row.section === 'workloads[].mounts[]').map((row) => codeOf(row.cells[0]) ?? '');
    expect(new Set(own)).toEqual(new Set(asked));
  });

  const claims = rows.map(({ section: name, cells: [field, , given, change] }) => ({
    name,
    field: codeOf(field) ?? '',
    given: given ?? '',
    change: change ?? '',
  }));
  const literal = claims.filter(({ given }) => codeOf(given) !== undefined && !given.includes('step N'));
  const compared = claims.filter(({ name, field, change }) => sectionOf(name, field).impact !== null && change !== 'by field');
  const uncompared = claims.filter(({ name, field, change }) => sectionOf(name, field).impact === null && change !== 'by field');
  const inWorkloads = uncompared.filter(({ name }) => name.startsWith('workloads'));

  it.each(claims.filter(({ given }) => given === 'required'))('$name $field is required', ({ name, field }) => {
    const { whole, needs } = sectionOf(name, field);
    const { [field]: _, ...others } = needs;
    expect(() => load(stringify(whole(others)))).toThrow(`${field}: `);
  });

  it.each(claims.filter(({ given }) => given !== 'required'))('$name $field may be absent', ({ name, field }) => {
    const { whole, needs } = sectionOf(name, field);
    expect(() => load(stringify(whole(needs)))).not.toThrow();
  });

  it.each(literal)('$name $field: $given changes nothing', ({ name, field, given }) => {
    const { whole, needs } = sectionOf(name, field);
    const value = parseYaml(codeOf(given) ?? '') as unknown;
    expect(load(stringify(whole({ ...needs, [field]: value })))).toEqual(load(stringify(whole(needs))));
  });

  it.each(compared)('$name $field: a change restarts $change', ({ name, field, change }) => {
    const path = `${sectionOf(name, field).impact}${field}`;
    expect(compareFingerprints({ [path]: '1' }, { [path]: '2' })).toEqual([{ field: path, impact: change }]);
  });

  it.each(inWorkloads)('$name $field: a change restarts nothing', ({ change }) => {
    expect(change).toBe('none');
  });

  it('outside of workloads it says what a running agent does with a change', () => {
    const before = load('{version: 1, workloads: []}');
    const changes = {
      'host.remote_actions': '{version: 1, workloads: [], host: {remote_actions: false}}',
      'host.gate': '{version: 1, workloads: [], host: {gate: {timeout: 9m}}}',
      collector: '{version: 1, workloads: [], collector: {url: "http://c:1"}}',
      engine: '{version: 1, workloads: [], engine: {socket: /run/other.sock}}',
      vars: '{version: 1, workloads: [], vars: {A: b}}',
      state_dir: '{version: 1, workloads: [], state_dir: /var/lib/other}',
    };
    const said = Object.entries(changes).map(([path, text]) => {
      const { startOver, fields, refusal } = compareAgents(before, load(text), false);
      return [path, refusal !== null ? 'refused' : startOver.length > 0 ? 'starts over' : fields.length > 0 ? 'next use' : 'none'];
    });
    const written = Object.keys(changes).map((path) => {
      const [field = '', name = 'Top level'] = path.split('.').toReversed();
      return [path, claims.find((claim) => claim.name === name && claim.field === field)?.change];
    });
    expect(written).toEqual(said);
  });
});
