/**
 * Commands arrive as they were written: text as one argument of a shell, argv as it stands, variables in the environment and
 * nowhere else. A stub notes its argv; what it should be is what bash on this host makes of the same text.
 */
import { execFile } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { eventsStored } from '../support/caught-up.ts';
import { findProgram } from '../support/engine-install.ts';
import { startLab, type Lab, type LabAgent } from '../support/lab.ts';
import { eventually } from '../support/wait.ts';

const run = promisify(execFile);
const host = 'cmd-0';

/** What every shell would like to get at. */
const head = `10.0.0.1; $(echo no) \`echo no\` "d" 's' \\ * ключ`;
const literal = '$HOME ${HEAD} %s';
const fieldCommand = String.raw`mkdir -p /home/ray/.ssh && gcloud compute project-info describe --format="value(commonInstanceMetadata.items[?key==\"ssh-keys\"].value)" > /home/ray/.ssh/authorized_keys && chmod 600 /home/ray/.ssh/authorized_keys`;

/** Each calls `gcloud` at least once. All are POSIX. */
const texts: Readonly<Record<string, string>> = {
  'single quotes': `gcloud 'it'"'"'s' 'a "b" $HOME' ''`,
  'dollar signs': `X=5; gcloud "$X" '$X' \\$X "\${X}y" $((X + 1)) "$(echo sub)" '$(no)' "\\$X" $ "$"`,
  newlines: `gcloud 'line 1\nline 2' \\\n  continued\ngcloud second\n\ngcloud third`,
  backticks: 'gcloud `echo tick` \'`no`\' "\\`x\\`" "`echo \'two  words\'`"',
  'non-ASCII': `gcloud 'ключ=значение' 日本語 "naïve ☃ 😀" --e=é "\u2028"`,
  'backslashes and options': String.raw`gcloud '*' \\ "a\tb" %s -- -e --flag= '\n' "\\" -c`,
  'a document within': 'gcloud "$(cat <<\'EOF\'\n$x `y` "z" \'q\' \\\nEOF\n)"',
  'blanks and a comment': '   gcloud pad   "in  side"  # comment with \' and "\n',
  'variables of the configuration': `gcloud "$HEAD" '\${HEAD}' "\${HEAD}" "$LITERAL" "$CHAIN" "\${NOT_THERE-none}"`,
};
const bashTexts: Readonly<Record<string, string>> = {
  'bash alone': `[[ x == x ]] && gcloud {a,b}{1,2} $'tab\\there' "\${HEAD//o/0}"; arr=(1 '2 3'); gcloud "\${arr[@]}"`,
};
const argv = ['gcloud', 'a b', '$HEAD', "it's", 'x\ny', '`t`', '', '*', '日本語', '-c', '"'];

let lab: Lab;
let agent: LabAgent;
let reference: Readonly<Record<string, string>>;
const shared = (...parts: readonly string[]): string => join(lab.directory, 'shared', ...parts);

/** Notes count and arguments, each ended by NUL, and answers what the field's gcloud would. */
const stub = `#!/bin/sh
printf '%s\\0' "$#" "$@" >> "\${GCLOUD_LOG:-/out/argv}"
echo 'ssh-ed25519 AAAA ray'
`;

const record = (place: string): string => `printf '%s\\0' "$HEAD" '\${HEAD}' "$LITERAL" "$CHAIN" > /out/${place}`;
const recorded = [head, '${HEAD}', literal, `<${head}>`].map((value) => `${value}\0`).join('');

const step = (name: string, text: unknown): Record<string, unknown> => ({ name, run: text, timeout: '2m' });

function workload(name: string, extraVolumes: readonly string[], steps: Readonly<Record<string, string>>): Record<string, unknown> {
  mkdirSync(shared(name), { recursive: true });
  return {
    name,
    depends_on: [{ tcp: '${COLLECTOR}' }],
    container: {
      name: `e2e-commands-${name}-${process.pid}`,
      image: inject('engineImage'),
      pull_policy: 'never',
      init: true,
      command: ['sleep', 'infinity'],
      cap_add: ['SYS_ADMIN'],
      devices: ['/dev/fuse'],
      security_opt: ['apparmor=unconfined'],
      environment: { PLAIN: '$HOME `x` é' },
      volumes: [`${shared('bin')}:/usr/local/bin:ro`, `${shared(name)}:/out`, ...extraVolumes],
    },
    mounts: [
      {
        name: 'data',
        type: 'command',
        run: `${record('mount')}; mkdir -p /src /mnt/data; exec bindfs -f /src /mnt/data`,
        target: '/mnt/data',
      },
    ],
    setup: [
      { ...step('ssh keys', fieldCommand), verify: '[ "$(cat /home/ray/.ssh/authorized_keys)" = "ssh-ed25519 AAAA ray" ]' },
      ...Object.entries(steps).map(([title, text]) => step(title, text)),
      step('argv', argv),
      { ...step('environment', record('setup')), verify: record('verify') },
      step('shell', 'echo "${BASH_VERSION:+bash}" "$PLAIN" > /out/shell; stat -c %a /home/ray/.ssh/authorized_keys > /out/mode'),
    ],
    process: { before: record('before'), run: `${record('process')}; exec sleep infinity`, stop_timeout: '1s' },
    ready: [
      { exec: record('ready'), interval: '200ms' },
      { exec: ['sh', '-c', record('ready-argv')], interval: '200ms' },
    ],
    live: [{ exec: record('live'), interval: '200ms' }],
  };
}

/** bash and what it loads, each at its own path. */
async function bashVolumes(): Promise<readonly string[]> {
  const bash = findProgram('bash') ?? '';
  const { stdout } = await run('ldd', [bash]);
  const libraries = [...stdout.matchAll(/(\/\S+) \(0x/g)].map(([, library]) => library ?? '');
  return [...libraries.map((path) => `${realpathSync(path)}:${path}:ro`), `${realpathSync(bash)}:/usr/bin/bash:ro`];
}

/** What the stub notes when bash on this host executes the text. */
async function byBash(text: string): Promise<string> {
  const log = shared('reference');
  rmSync(log, { force: true });
  const env = { PATH: `${shared('bin')}:${process.env['PATH']}`, GCLOUD_LOG: log, HEAD: head, LITERAL: literal, CHAIN: `<${head}>` };
  await run('bash', ['-c', text.replaceAll('/home/ray', shared('home'))], { env });
  return readFileSync(log, 'utf8');
}

beforeAll(async () => {
  lab = await startLab({ engineSocket: inject('engineSocket') });
  mkdirSync(shared('bin'), { recursive: true });
  writeFileSync(shared('bin/gcloud'), stub);
  chmodSync(shared('bin/gcloud'), 0o755);
  const commands = { 'ssh keys': fieldCommand, ...texts, ...bashTexts };
  const results: Record<string, string> = {};
  for (const [title, text] of Object.entries(commands)) results[title] = await byBash(text);
  reference = results;
  agent = await lab.addAgent({
    host,
    config: {
      vars: {
        HEAD: { run: ['printf', '%s', head] },
        LITERAL: literal,
        // What the unit sets for the agent's own memory is nothing to its commands.
        CHAIN: { run: `printf '<%s>%s' "$HEAD" "$MALLOC_ARENA_MAX"` },
        COLLECTOR: lab.url.replace('http://', ''),
      },
    },
    workloads: [workload('sh', [], texts), workload('bash', await bashVolumes(), { ...texts, ...bashTexts })],
  });
});

afterAll(async () => {
  await lab?.dispose();
});

test('what bash gives the command of the field', () => {
  const filter = 'value(commonInstanceMetadata.items[?key=="ssh-keys"].value)';
  expect(reference['ssh keys']).toBe(['4', 'compute', 'project-info', 'describe', `--format=${filter}`, ''].join('\0'));
});

describe.each(['sh', 'bash'])('in an image with %s', (name) => {
  const out = (file: string): string => readFileSync(shared(name, file), 'utf8');

  test('every command of the set-up arrives with the argv that bash gives it', async () => {
    await lab.fleet.waitForPhase(host, name, 'ready');
    expect(out('shell')).toBe(`${name === 'bash' ? 'bash' : ''} $HOME \`x\` é\n`);
    expect(out('mode')).toBe('600\n');
    const titles = ['ssh keys', ...Object.keys(texts), ...(name === 'bash' ? Object.keys(bashTexts) : [])];
    const expected = [...titles.map((title) => reference[title]), [argv.length - 1, ...argv.slice(1), ''].join('\0')].join('');
    expect(out('argv').split('\0')).toEqual(expected.split('\0'));
  });

  test.each(['setup', 'verify', 'mount', 'before', 'process', 'ready', 'ready-argv', 'live'])(
    'variables are in the environment of %s, and not in its text',
    async (place) => {
      await lab.fleet.waitForPhase(host, name, 'ready');
      // The first live check comes an interval after ready, and each one writes anew.
      await eventually(() => expect(out(place)).toBe(recorded), { what: `what ${place} wrote`, timeoutMs: 30_000 });
    },
  );
});

test('no event holds the value of a variable that nobody printed', async () => {
  await eventsStored(agent);
  const events = await lab.fleet.events({ host });
  expect(events.length).toBeGreaterThan(10);
  expect(JSON.stringify(events)).not.toContain('$(echo no)');
});
