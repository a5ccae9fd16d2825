/** From `init` to `relight status` without anything exported by hand, and what `token create` says beside the token. */
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { keyFingerprintOf } from '@relight/shared/certificate';
import { freePort } from '../../../../test/support/ports.ts';
import { authority } from '../access/authority.test-data.ts';
import { selfSigned } from '../access/self-signed.ts';
import { readTls, writeTls } from '../access/tls-files.ts';
import { fakeApi, list, problem, type Answer } from '../cli/fake-api.test-data.ts';
import { imageOperatorFile } from '../cli/operator-file.ts';
import { CollectorBench } from './collector-process.test-data.ts';
import { howReached, joinDocument } from './join-line.ts';
import { loadConfig } from './load-config.ts';
import { operatorPlace } from './operator-place.ts';

let bench: CollectorBench;
let file: string;
beforeEach(() => {
  bench = new CollectorBench();
  file = join(bench.dir, '.config', 'relight', 'operator.yaml');
  mkdirSync(join(file, '..'), { recursive: true });
});
afterEach(() => bench[Symbol.asyncDispose]());

const init = (...more: readonly string[]) =>
  bench.collector(['init', '--config', bench.configFile, '--url', 'https://collector.example:7460', '--operator-file', file, ...more]);
const create = (...words: readonly string[]) => bench.collector(['token', 'create', '--data-dir', bench.dataDir, ...words]);

test('init leaves a file for its owner alone, with which relight asks the service on the same machine, and no support bundle has its token', async () => {
  const port = await freePort();
  bench.configure(`listen: 0.0.0.0:${port}\n`);
  const made = await init();
  expect({ code: made.code, err: made.err }).toEqual({ code: 0, err: '' });
  expect(made.out).toContain(`relight status (${file} has the token)`);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  const token = /RELIGHT_TOKEN=(\S+)/.exec(made.out)?.[1] ?? 'none';
  const written = readFileSync(file, 'utf8');
  expect(written).toContain(`url: https://127.0.0.1:${port}\ntoken: ${token}\nfingerprint: `);

  await bench.serve();
  expect(await bench.relight(['status'])).toMatchObject({ code: 0, err: '', out: expect.stringContaining('no hosts yet') as string });
  const output = join(bench.dir, 'b.tar.gz');
  for (const bundle of [
    () => bench.relight(['support-bundle', '-o', output]),
    () => bench.collector(['support-bundle', '--config', bench.configFile, '-o', output]),
  ]) {
    const said = await bundle();
    expect(said.code).toBe(0);
    expect(said.out + said.err + execFileSync('tar', ['-xzOf', output], { encoding: 'utf8' })).not.toContain(token);
    execFileSync('rm', [output]);
  }

  // The same for an hour's work elsewhere: nothing of the line is lost that init has printed.
  const join1 = await create('--kind', 'join', '--uses', '3');
  expect(join1).toMatchObject({ code: 0, out: expect.stringMatching(/^rlj_[\w-]+\n$/) as string });
  const line = / {2}(relight-agent join .*)\n/.exec(made.out)?.[1] ?? 'none';
  expect(join1.err).toContain(`  ${line.replace(/rlj_\S+/, join1.out.trim())}\n`);
  expect(line).toMatch(/^relight-agent join https:\/\/collector\.example:7460 rlj_\S+ --fingerprint [0-9a-f:]{64,}$/i);
  // How often each goes, and until when.
  expect(made.out).toMatch(/\(as root, on that host; for one host, until 20\S+Z\):/);
  expect(join1.err).toMatch(/ \(for 3 hosts, until 20\S+Z\):/);
});

test('what init has printed is right after the certificate was renewed, and a name is in it once, however often', async () => {
  bench.configure(`listen: 127.0.0.1:${await freePort()}\n`);
  const made = await init();
  const printed = [...made.out.matchAll(/(?:--fingerprint |RELIGHT_FINGERPRINT=)(\S+)/g)].map(([, fingerprint]) => fingerprint);
  const show = async (...words: readonly string[]): Promise<{ fingerprint: string; keyFingerprint: string; names: string }> =>
    JSON.parse((await bench.collector(['certificate', ...words, '--config', bench.configFile, '--json'])).out) as never;
  const before = await show('show');
  await show('renew');
  const after = await show('renew');
  expect(after.fingerprint).not.toBe(before.fingerprint);
  expect(printed).toEqual([after.keyFingerprint, after.keyFingerprint]);
  const names = after.names.split(', ');
  // The machine may have got another address meanwhile.
  expect(names).toEqual(expect.arrayContaining(before.names.split(', ')));
  expect(names).toContain('IP Address:0:0:0:0:0:0:0:1');
  expect(new Set(names).size).toBe(names.length);
});

test("with a certificate of one's own nothing pins it: hosts and relight go on when it is renewed with another key", async () => {
  const port = await freePort();
  const url = `https://127.0.0.1:${port}`;
  const files = { certFile: join(bench.dir, 'own', 'cert.pem'), keyFile: join(bench.dir, 'own', 'key.pem') };
  const certify = async (): Promise<void> => {
    const now = Date.now();
    writeTls(files, await selfSigned({ names: ['127.0.0.1'], keyPem: null, notBefore: now - 1_000, notAfter: now + 3_600_000 }));
  };
  await certify();
  const { certificate } = readTls(files);
  bench.configure(`listen: 127.0.0.1:${port}\ntls: {cert_file: ${files.certFile}, key_file: ${files.keyFile}}\n`);
  const made = await bench.collector(['init', '--config', bench.configFile, '--url', url, '--operator-file', file]);
  expect({ code: made.code, err: made.err }).toEqual({ code: 0, err: '' });
  expect(made.out).toMatch(new RegExp(`^ {2}relight-agent join ${url} rlj_\\S+$`, 'm'));
  expect(made.out).toMatch(new RegExp(`^ {2}export RELIGHT_URL=${url} RELIGHT_TOKEN=\\S+$`, 'm'));
  const note = `The certificate ${files.certFile} is your own: the line names no fingerprint`;
  expect(made.out).toContain(note);
  expect(made.out).toContain(`--fingerprint ${keyFingerprintOf(certificate)} would pin its key`);
  // It is its own authority. By its name, which it vouches for.
  expect(readFileSync(file, 'utf8')).toMatch(new RegExp(`^# .*\\nurl: ${url}\\ntoken: \\S+\\nca_file: ${files.certFile}\\n$`));
  // What token create says of the installed service is made of this.
  const config = loadConfig({ config: bench.configFile });
  const reached = howReached(config, undefined);
  expect(reached).toMatchObject({ url, fingerprint: null, note: expect.stringContaining(note) as string });
  expect(joinDocument(reached, 'rlj_x')).toEqual({
    url,
    urlIsGuess: false,
    fingerprint: null,
    keyFingerprint: null,
    join: `relight-agent join ${url} rlj_x`,
    note: reached.note,
  });

  const ask = async (): Promise<void> => {
    const service = await bench.serve();
    expect(await bench.relight(['status'])).toMatchObject({ code: 0, err: '' });
    await service.stop();
  };
  await ask();
  await certify();
  expect(keyFingerprintOf(readTls(files).certificate)).not.toBe(keyFingerprintOf(certificate));
  await ask();
});

test('of a certificate that an authority has signed init cannot tell where that authority is', async () => {
  const { certPem, keyPem } = await authority('our authority');
  const files = { certFile: join(bench.dir, 'cert.pem'), keyFile: join(bench.dir, 'key.pem') };
  writeTls(files, { certPem, keyPem });
  bench.configure(`tls: {cert_file: ${files.certFile}, key_file: ${files.keyFile}}\n`);
  expect((await init()).code).toBe(0);
  expect(readFileSync(file, 'utf8')).toMatch(/^# .*\nurl: https:\/\/collector\.example:7460\ntoken: \S+\n$/);
});

test('a script has the line as well; an operator token without a role says what it may', async () => {
  bench.configure('');
  mkdirSync(bench.dataDir);
  const made = await create('--kind', 'join', '--url', 'https://other.example/', '--json');
  const document = JSON.parse(made.out) as Record<string, string>;
  expect(document).toMatchObject({
    kind: 'join',
    usesLeft: 1,
    url: 'https://other.example',
    urlIsGuess: false,
    fingerprint: null,
    note: null,
  });
  expect(document['join']).toBe(`relight-agent join https://other.example ${document['token']}`);
  const guessed = await create('--kind', 'join');
  expect(guessed.err).toMatch(/Give --url where hosts reach it by another address\.\n {2}relight-agent join http:\/\/\S+:7460 rlj_/);

  const admin = await create('--kind', 'operator');
  expect(admin.out).toMatch(/^rlo_[\w-]+\n$/);
  expect(admin.err).toMatch(/may do everything \(role admin\)[^]*token revoke \w+\n$/);
  expect(await create('--kind', 'operator', '--role', 'view')).toMatchObject({ code: 0, err: '' });
  expect(await create('--kind', 'agent', '--url', 'https://x')).toMatchObject({
    code: 2,
    err: expect.stringContaining('join tokens only') as string,
  });
});

test('a file of another address is left as it is, one of the same is made anew, and none is made that was not asked for', async () => {
  bench.configure('');
  const other = 'url: https://elsewhere.example\ntoken: rlo_OfSomebody\n';
  writeFileSync(file, other, { mode: 0o600 });
  const kept = await init();
  expect(kept).toMatchObject({ code: 0, err: expect.stringContaining('was left as it is') as string });
  expect(readFileSync(file, 'utf8')).toBe(other);
  // Refused: it is set up already. Nothing is left of the try.
  rmSync(file);
  expect((await init()).code).toBe(1);
  expect(existsSync(file)).toBe(false);
  bench.dataDir = join(bench.dir, 'again');
  bench.configure('');
  writeFileSync(file, 'url: https://collector.example:7460\ntoken: rlo_OfTheStoreBefore\n', { mode: 0o644 });
  const again = await init('--json');
  const { operatorToken } = JSON.parse(again.out) as { operatorToken: string };
  expect([again.err, statSync(file).mode & 0o777]).toEqual(['', 0o600]);
  expect(readFileSync(file, 'utf8')).toMatch(
    new RegExp(`^# .*\\nurl: https://collector.example:7460\\ntoken: ${operatorToken}\\nfingerprint: \\S+\\n$`),
  );
  bench.dataDir = join(bench.dir, 'and again');
  bench.configure('');
  expect((await bench.collector(['init', '--config', bench.configFile, '--json'])).out).toContain('"operatorFile":null');
  bench.dataDir = join(bench.dir, 'once more');
  bench.configure('');
  const named = join(bench.dir, 'named.yaml');
  expect((await bench.collector(['init', '--config', bench.configFile], { RELIGHT_OPERATOR_FILE: named })).out).toContain(
    `(${named} has the token)`,
  );
});

test('what cannot be such a file is not waited for nor read without end, is left as it is, and is said beside the token', () => {
  const pipe = join(bench.dir, 'pipe');
  execFileSync('mkfifo', [pipe]);
  const sparse = join(bench.dir, 'sparse');
  writeFileSync(sparse, '');
  truncateSync(sparse, 10 * 1024 ** 3);
  for (const [named, why] of [
    ['/dev/zero', 'it is longer than 4.0 MiB'],
    [pipe, 'it is a pipe, and nothing comes from it'],
    [sparse, 'it is longer than 4.0 MiB'],
    [bench.dir, 'EISDIR'],
    [join(bench.dir, 'missing', 'operator.yaml'), 'ENOENT'],
  ] as const) {
    const place = operatorPlace(named);
    const left = place.write({ url: 'https://127.0.0.1:1', token: 'rlo_x', fingerprint: null, caFile: null });
    place.close();
    const start = `${named} could not be written, relight has to be told the token by hand: ${why}`;
    expect(left).toEqual({ file: null, problem: expect.stringContaining(start) as string });
  }
  expect(statSync(sparse).size).toBe(10 * 1024 ** 3);
});

test('the environment wins, and what the file holds goes to no other address than its own', async () => {
  await using own = await fakeApi({ 'GET hosts': list([]), 'GET alerts': list([]) });
  await using other = await fakeApi({ 'GET hosts': list([]), 'GET alerts': list([]) });
  writeFileSync(file, `url: ${own.url}/\ntoken: rlo_OfTheFile\n`, { mode: 0o600 });
  const authorization = async (api: typeof own, env: Record<string, string>): Promise<unknown> => {
    const before = api.calls.length;
    await bench.relight(['status'], env);
    return api.calls[before]?.headers.authorization;
  };
  expect(await authorization(own, {})).toBe('Bearer rlo_OfTheFile');
  expect(await authorization(own, { RELIGHT_URL: own.url })).toBe('Bearer rlo_OfTheFile');
  expect(await authorization(own, { RELIGHT_TOKEN: 'rlo_OfTheEnvironment' })).toBe('Bearer rlo_OfTheEnvironment');
  expect(await authorization(other, { RELIGHT_URL: other.url })).toBeUndefined();
  const elsewhere = join(bench.dir, 'other.yaml');
  writeFileSync(join(bench.dir, 'token'), 'rlo_InAFile\n', { mode: 0o600 });
  writeFileSync(elsewhere, `url: ${other.url}\ntoken_file: ${join(bench.dir, 'token')}\n`, { mode: 0o600 });
  expect(await authorization(other, { RELIGHT_OPERATOR_FILE: elsewhere })).toBe('Bearer rlo_InAFile');
});

test.each<[string, string, number, string]>([
  ['open to others', 'url: http://127.0.0.1:1\ntoken: rlo_Sup3rSecret\n', 0o640, 'can be read by other users of this machine'],
  [
    'with a mistyped key',
    'url: http://127.0.0.1:1\ntokn: rlo_Sup3rSecret\n',
    0o600,
    'operator.yaml:2:1: tokn: unknown key; did you mean "token"?',
  ],
  ['without an address', 'token: rlo_Sup3rSecret\n', 0o600, 'url: is missing'],
  ['that is no YAML', 'token: [rlo_Sup3rSecret\n', 0o600, 'operator.yaml:'],
])('a file %s is refused, and nothing of it is repeated', async (_, content, mode, message) => {
  writeFileSync(file, content);
  chmodSync(file, mode);
  const { code, out, err } = await bench.relight(['status']);
  expect({ code, out }).toEqual({ code: 2, out: '' });
  expect(err).toContain(message);
  expect(err).not.toContain('Sup3rSecret');
});

test('a named file that cannot be read is an error, and nobody is asked; the one of the image may be missing until init, and that is said', async () => {
  await using api = await fakeApi({ 'GET hosts': list([]), 'GET alerts': list([]) });
  const secret = { RELIGHT_TOKEN: 'rlo_OfTheEnvironment' };
  const named = join(bench.dir, 'nowhere.yaml');
  expect(await bench.relight(['status'], { ...secret, RELIGHT_OPERATOR_FILE: named })).toMatchObject({
    code: 2,
    err: expect.stringContaining(`${named} (RELIGHT_OPERATOR_FILE) cannot be read: ENOENT`) as string,
  });
  // Nothing of it is needed.
  expect((await bench.relight(['status'], { ...secret, RELIGHT_URL: api.url, RELIGHT_OPERATOR_FILE: named })).code).toBe(0);

  const image = { RELIGHT_OPERATOR_FILE: imageOperatorFile };
  const missing = `There is nothing in ${imageOperatorFile} (RELIGHT_OPERATOR_FILE): relight-collector init writes it.`;
  const refused = await bench.relight(['status'], { ...image, RELIGHT_URL: 'http://127.0.0.1:1' });
  expect(refused).toMatchObject({ code: 3, err: expect.stringContaining(missing) as string });
  const strict: Answer = (_, response) => problem(response, 401, 'unauthorized', 'no token');
  await using closed = await fakeApi({ 'GET hosts': strict, 'GET alerts': strict });
  const denied = await bench.relight(['status'], { ...image, RELIGHT_URL: closed.url });
  expect(denied.err).toContain(`${missing} Set RELIGHT_TOKEN`);
});

test('what is read for a token, an authority or all of that has an end, or is refused', async () => {
  const endless = join(bench.dir, 'sparse');
  writeFileSync(endless, '', { mode: 0o600 });
  truncateSync(endless, 10 * 1024 ** 3);
  for (const [env, message] of [
    [{ RELIGHT_TOKEN_FILE: '/dev/zero' }, 'the token file cannot be read: it is longer than 16.0 KiB'],
    [{ RELIGHT_TOKEN_FILE: bench.dir }, 'the token file cannot be read: EISDIR'],
    [{ RELIGHT_CA_FILE: '/dev/zero' }, 'the certificate file cannot be read: it is longer than 4.0 MiB'],
    [{ RELIGHT_CA_FILE: process.execPath }, 'the certificate file cannot be read: it is longer than 4.0 MiB'],
    [{ RELIGHT_CA_FILE: '/bin/true' }, 'the certificate file cannot be read: The encoded data was not valid'],
    [{ RELIGHT_OPERATOR_FILE: endless }, `${endless} cannot be read: it is longer than 4.0 MiB`],
  ] satisfies readonly [Record<string, string>, string][]) {
    const { code, out, err } = await bench.relight(['status'], { RELIGHT_URL: 'https://127.0.0.1:1', ...env });
    expect({ code, out, err }).toEqual({ code: 2, out: '', err: expect.stringContaining(message) as string });
  }
});

test.runIf(process.getuid?.() === 0)(
  'what another user says of where tokens go is not followed, not even in the home that sudo has kept',
  async () => {
    await using api = await fakeApi({ 'GET hosts': list([]), 'GET alerts': list([]) });
    writeFileSync(file, `url: ${api.url}\n`, { mode: 0o600 });
    chownSync(file, 65_534, 65_534);
    const { code, err } = await bench.relight(['status'], { RELIGHT_TOKEN: 'rlo_OfTheEnvironment' });
    expect([code, err]).toEqual([
      2,
      expect.stringMatching(/operator\.yaml belongs to another user .*\(uid 65534, and this is 0\)[^]*sudo -H/),
    ]);
    expect(api.calls).toEqual([]);
  },
);

test('what it names is looked for beside it', async () => {
  await using api = await fakeApi({ 'GET hosts': list([]), 'GET alerts': list([]) });
  writeFileSync(join(file, '..', 'token'), 'rlo_Beside\n', { mode: 0o600 });
  writeFileSync(file, `url: ${api.url}\ntoken_file: token\n`, { mode: 0o600 });
  expect(await bench.relight(['status'])).toMatchObject({ code: 0, err: '' });
  expect(api.calls[0]?.headers.authorization).toBe('Bearer rlo_Beside');
  writeFileSync(file, 'url: https://127.0.0.1:1\ntoken: rlo_x\nca_file: ../ca.pem\n', { mode: 0o600 });
  expect((await bench.relight(['status'])).err).toContain(join(file, '../../ca.pem'));
});
