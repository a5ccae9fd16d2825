import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { withoutSecretForms } from '@relight/shared/support-bundle';
import { ManualClock } from '@relight/shared/manual-clock';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { supportBundleCommand } from '../support-bundle-command.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'relight-support-test-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const io = (out: string[]) => ({
  env: {},
  clock: new ManualClock(),
  columns: null,
  write: (text: string) => void out.push(text),
  note: () => {},
});

const planted = {
  environment: 'plain value that nobody would know',
  list: 'value-of-a-list-entry',
  envFile: 'from the env file "quoted"',
  token: 'rla_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG',
  // In no file that is known: its form alone tells.
  pasted: 'rlj_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG',
  literal: 'value of a variable',
  adopted: 'environment-of-the-adopted-one',
  commented: 'hf_CommentedOutLongAgo',
  url: 'pa55word-in-an-address',
  flag: 'flag-value-in-a-command',
  pattern: 'corp-4711-0815',
};

/** All that is in it, one text. */
function unpacked(file: string): string {
  const into = join(directory, 'unpacked');
  mkdirSync(into);
  execFileSync('tar', ['-xzf', file, '-C', into]);
  return readdirSync(into, { recursive: true, encoding: 'utf8' })
    .map((name) => join(into, name))
    .filter((path) => statSync(path).isFile())
    .map((path) => `${path}\n${readFileSync(path, 'utf8')}`)
    .join('\n');
}

test('nothing secret is in a bundle, wherever it was planted; names are', async () => {
  const config = join(directory, 'agent.yaml');
  const stateDir = join(directory, 'state');
  mkdirSync(join(stateDir, 'adopted'), { recursive: true });
  mkdirSync(join(stateDir, 'incidents'), { recursive: true });
  writeFileSync(join(directory, 'secrets.env'), `OF_THE_FILE='${planted.envFile}'\n`);
  writeFileSync(join(directory, 'token'), `${planted.token}\n`);
  writeFileSync(join(stateDir, 'adopted', 'w.json'), JSON.stringify({ document: { Config: { Env: [`X=${planted.adopted}`] } } }));
  writeFileSync(
    config,
    `version: 1
# HF_TOKEN was ${planted.commented}
host: {labels: {remark: "${planted.adopted}"}}
collector: {url: "http://127.0.0.1:1", token_file: token}
engine: {socket: ${directory}/no.sock}
vars: {LITERAL: "${planted.literal}", FOUND: {run: "cat /etc/head --token ${planted.flag}"}}
workloads:
  - name: w
    container: {image: i, env_file: [secrets.env], environment: {PLAIN: "${planted.environment}"}}
    setup:
      - {run: "curl https://user:${planted.url}@example.invalid/${planted.environment}/${planted.envFile.replaceAll('"', '\\"')}"}
      - {run: "echo ${planted.pattern} ${planted.token} ${planted.pasted}"}
    logs: {redact: ['corp-\\d+-\\d+']}
  - name: v
    container: {image: i, environment: ["OTHER=${planted.list}"]}
`,
  );
  const output = join(directory, 'bundle.tar.gz');
  expect(await supportBundleCommand({ config, stateDir, output }, io([]))).toBe(0);
  expect(statSync(output).mode & 0o777).toBe(0o600);
  const text = unpacked(output);
  const forms = Object.entries(planted).flatMap(([where, value]) => [
    [where, value],
    [where, JSON.stringify(value).slice(1, -1)],
  ]);
  expect(forms.filter(([, value]) => text.includes(value ?? '')).map(([where]) => where)).toEqual([]);
  for (const name of ['PLAIN: ', 'OTHER=', 'LITERAL: ', 'secrets.env', 'cat /etc/head', 'versions.json', 'host.json'])
    expect(text).toContain(name);
  expect(text).toContain('the agent could not be asked: no agent is running');
});

test('a file that cannot be used tells no pattern and no env file: what only those would take out stays on the host', async () => {
  const config = join(directory, 'agent.yaml');
  writeFileSync(config, 'version: 1\nwrokloads: []\n');
  const output = join(directory, 'bundle.tar.gz');
  expect(await supportBundleCommand({ config, stateDir: join(directory, 'state'), output }, io([]))).toBe(0);
  const text = unpacked(output);
  expect(text).toContain('wrokloads');
  expect(text).toContain('journal.txt\nleft out: the configuration cannot be read');
});

test('a file that is there is never written over', async () => {
  const output = join(directory, 'mine.tar.gz');
  writeFileSync(output, 'mine');
  await expect(supportBundleCommand({ stateDir: directory, config: '/nowhere', output }, io([]))).rejects.toMatchObject({ code: 'usage' });
  expect(readFileSync(output, 'utf8')).toBe('mine');
});

test.each([
  ['API_KEY=abcdefgh rest', 'API_KEY=[redacted] rest'],
  ['{"hfToken": "abc def", "a": 1}', '{"hfToken": [redacted], "a": 1}'],
  ['{"message":"{\\"password\\": \\"abc\\", \\"a\\": 1}"}', '{"message":"{\\"password\\": [redacted], \\"a\\": 1}"}'],
  ['curl -H "Authorization: Bearer abcdef.ghi" x', 'curl -H "Authorization: [redacted] [redacted]" x'],
  ['mysql --db-password geheim --host h', 'mysql --db-password [redacted] --host h'],
  ['token_file: /etc/relight/agent.token', 'token_file: /etc/relight/agent.token'],
  ['-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\nrest', '[redacted]\nrest'],
  ['eyJhbGciOiJI.eyJzdWIiOiIx.sig left', '[redacted] left'],
  // Of the collector: an agent's, an operator's, and one to join with.
  [`join rla_${'aB3-_'.repeat(8)}xyz now`, 'join [redacted] now'],
  [`join rlo_${'aB3-_'.repeat(8)}xyz now`, 'join [redacted] now'],
  [`join rlj_${'aB3-_'.repeat(8)}xyz now`, 'join [redacted] now'],
  ['the process exited with code 1', 'the process exited with code 1'],
])('%s', (text, clean) => {
  expect(withoutSecretForms(text)).toBe(clean);
});
