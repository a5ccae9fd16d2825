/** `relight-collector check` as a person has it: before the service is restarted with a configuration. */
import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { get } from 'node:https';
import { createServer, type AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Finding } from '@relight/shared/finding';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { freePort } from '../../../../test/support/ports.ts';
import { selfSigned } from '../access/self-signed.ts';
import { ownTlsFiles, writeTls } from '../access/tls-files.ts';
import { checkOpenness } from '../preflight/files.ts';
import { CollectorBench, type Ended } from './collector-process.test-data.ts';

const dayMs = 86_400_000;
let bench: CollectorBench;
beforeEach(() => {
  bench = new CollectorBench();
});
afterEach(() => bench[Symbol.asyncDispose]());

const check = (...more: readonly string[]): Promise<Ended> => bench.collector(['check', '-c', bench.configFile, ...more]);
async function found(): Promise<{ readonly code: number | null; readonly of: (level: Finding['level']) => readonly string[] }> {
  const { code, out } = await check('--json');
  const { findings } = JSON.parse(out) as { findings: readonly Finding[] };
  return {
    code,
    of: (level) => findings.filter((one) => one.level === level).map(({ what, fix }) => `${what}${fix === '' ? '' : ` → ${fix}`}`),
  };
}

async function certify(from: number, until: number): Promise<{ certFile: string; keyFile: string }> {
  const files = ownTlsFiles(bench.dataDir);
  const now = Date.now();
  writeTls(files, await selfSigned({ names: ['127.0.0.1'], keyPem: null, notBefore: now + from, notAfter: now + until }));
  return files;
}

test('what can be used is said line by line; what is not valid names file, line and column, and is exit code 2', async () => {
  bench.configure('');
  expect(await check()).toEqual({
    code: 0,
    err: '',
    out: expect.stringMatching(
      /^ok {6}the configuration .*collector\.yaml is valid\nok {6}data_dir .* will be made, .* free\nok {6}no certificate: plain HTTP.*\nok .*\nok {6}no sinks.*\n\n0 errors, 0 warnings\n$/,
    ) as string,
  });
  writeFileSync(bench.configFile, `version: 1\nalerts:\n  sinks:\n    - {type: webhook, ulr: "http://u:Sup3rSecret@x/"}\n`);
  const wrong = await check();
  expect(wrong).toMatchObject({ code: 2, out: '' });
  expect(wrong.err).toContain(`${bench.configFile}:4:23: alerts.sinks.0.ulr: unknown key; did you mean "url"?`);
  expect(wrong.err).not.toContain('Sup3rSecret');
  expect(await bench.collector(['check', '-c', '/nowhere.yaml'])).toMatchObject({
    code: 2,
    err: expect.stringContaining('cannot be read') as string,
  });
});

test('its own port is no error while the service runs; another one’s is, with its name', async () => {
  bench.configure('');
  const service = await bench.serve();
  const port = Number(new URL(service.url).port);
  bench.configure(`listen: 127.0.0.1:${port}\n`);
  const own = await found();
  expect([own.code, own.of('error')]).toEqual([0, []]);
  expect(own.of('ok').find((line) => line.includes('is held by the collector that runs'))).toMatch(/\(\w+ \(pid \d+\)\)/);
  // It reads its file at its start alone.
  expect(own.of('warning')).toContainEqual(
    expect.stringMatching(/collector\.yaml was changed after the collector that runs \(pid \d+\) was started: .* → .*systemctl restart/),
  );
  const longAgo = new Date(Date.now() - dayMs);
  utimesSync(bench.configFile, longAgo, longAgo);
  expect((await found()).of('warning').join()).not.toContain('was changed after');
  bench.configure(`listen: 127.0.0.1:${await freePort()}\n`);
  expect((await found()).of('warning')).toContainEqual(
    expect.stringMatching(/a collector runs with this data directory, and does not listen on .*: it has read another configuration → /),
  );
  await service.stop();

  const other = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
  await once(other, 'listening');
  const taken = (other.address() as AddressInfo).port;
  bench.configure(`listen: 127.0.0.1:${taken}\n`);
  const refused = await found();
  other.close();
  expect(refused.code).toBe(1);
  expect(refused.of('error')).toEqual([
    expect.stringMatching(new RegExp(`^127\\.0\\.0\\.1:${taken} is taken by .*pid ${process.pid}.* → Stop it`)),
  ]);
  bench.configure('listen: 192.0.2.1:7460\n');
  expect((await found()).of('error')).toEqual([expect.stringContaining('cannot listen on 192.0.2.1:7460: EADDRNOTAVAIL')]);
});

test('a service with TLS does not take the look at its port for a client that does not trust its certificate', async () => {
  bench.configure('');
  await certify(-dayMs, 90 * dayMs);
  const { url } = await bench.serve();
  bench.configure(`listen: 127.0.0.1:${new URL(url).port}\n`);
  expect((await found()).of('ok').join('\n')).toContain('is held by the collector that runs');
  const authorization = `Bearer ${bench.operatorToken('view')}`;
  const asked = get(`${url}/metrics`, { agent: false, rejectUnauthorized: false, headers: { authorization } });
  const [answer] = (await once(asked, 'response')) as [IncomingMessage];
  expect(await text(answer)).toMatch(/^relight_collector_tls_failures_total 0$/m);
});

test('a certificate is valid, runs out, is over, or does not belong to its key', async () => {
  bench.configure('');
  const files = await certify(-dayMs, 90 * dayMs);
  expect((await found()).of('ok').join('\n')).toContain(`the certificate ${files.certFile}, with its key, is valid until`);
  await certify(-dayMs, 20 * dayMs);
  expect((await found()).of('warning')).toEqual([expect.stringMatching(/is valid until .* → relight-collector certificate renew$/)]);
  await certify(-2 * dayMs, -dayMs);
  const over = await found();
  expect([over.code, over.of('error')]).toEqual([1, [expect.stringContaining(`${files.certFile} expired at`)]]);
  const key = readFileSync(files.keyFile);
  await certify(-dayMs, 90 * dayMs);
  writeFileSync(files.keyFile, key);
  expect((await found()).of('error')).toEqual([expect.stringContaining('does not belong to the certificate')]);
});

test('sinks are reached and not posted to; one that cannot be is a warning without its secrets', async () => {
  let asked = '';
  const receiver = createServer((socket) => socket.on('data', (piece: Buffer) => (asked += piece.toString())).on('error', () => undefined));
  receiver.listen(0, '127.0.0.1');
  await once(receiver, 'listening');
  const { port } = receiver.address() as AddressInfo;
  bench.configure(`alerts:
  sinks:
    - {type: webhook, url: "http://127.0.0.1:${port}/hook"}
    - {type: webhook, url: "http://robot:Sup3rSecret@127.0.0.1:9/services/T0000000000000000000000?key=Sup3rSecret"}
    - {type: alertmanager, url: "https://nowhere.invalid"}
`);
  const { code, of } = await found();
  receiver.close();
  expect(code).toBe(0);
  expect(of('ok').join('\n')).toContain(`sink 1 (http://127.0.0.1:${port}/hook) can be reached`);
  expect(of('warning')).toEqual([
    expect.stringContaining('sink 2 (http://127.0.0.1:9/services/…) cannot be reached: '),
    expect.stringContaining('sink 3 (https://nowhere.invalid/api/v2/alerts) cannot be reached: cannot resolve nowhere.invalid'),
  ]);
  expect(of('warning').join()).not.toMatch(/Sup3rSecret|T000/);
  expect(asked).toBe('');
});

test('a data directory that is no directory', async () => {
  bench.configure('');
  writeFileSync(bench.dataDir, '');
  const blocked = await found();
  expect([blocked.code, blocked.of('error')]).toEqual([1, [expect.stringContaining('is not a directory')]]);
});

test('a data directory that the installed unit keeps closed is told of, until it is opened there', async () => {
  const bin = join(bench.dir, 'bin');
  mkdirSync(bin);
  bench.env['PATH'] = `${bin}:${bench.env['PATH']}`;
  const unit = (more: string): void =>
    writeFileSync(join(bin, 'systemctl'), `#!/bin/sh\necho LoadState=loaded\necho ProtectSystem=strict\n${more}`, { mode: 0o755 });
  bench.configure('');
  unit('');
  expect((await found()).of('warning')).toEqual([
    expect.stringMatching(
      new RegExp(`^data_dir ${bench.dataDir}: the unit relight-collector lets .* → systemctl edit .* ReadWritePaths=${bench.dataDir} in`),
    ),
  ]);
  unit(`echo "ReadWritePaths=/elsewhere -${bench.dir}"`);
  expect((await found()).of('warning')).toEqual([]);
});

test('a configuration that all can read or others can write is warned of, with the command that closes it, and is no error', async () => {
  bench.configure('');
  const file = bench.configFile;
  const open = async (mode: number): Promise<readonly string[]> => {
    chmodSync(file, mode);
    const { code, of } = await found();
    expect(code).toBe(0);
    return of('warning');
  };
  const written = `${file}: others than its owner may write it → chmod go-w ${file}`;
  const read = `${file} can be read by every user: addresses of sinks in it may hold secrets → chmod o-r ${file}`;
  expect(await open(0o640)).toEqual([]);
  expect(await open(0o660)).toEqual([written]);
  expect(await open(0o646)).toEqual([written, read]);
  // The service goes on reading the one in its place.
  expect(checkOpenness(file, file).map(({ fix }) => fix)).toContain(`chgrp relight-collector ${file} && chmod 640 ${file}`);
});

const isRoot = process.getuid?.() === 0;

/** Of nobody, as a service has an account. */
function owned(): void {
  bench.dataDir = `${bench.dir}/owned`;
  mkdirSync(bench.dataDir);
  chownSync(bench.dataDir, 65_534, 65_534);
  for (const above of [bench.dir, dirname(bench.dir)]) chmodSync(above, 0o755);
}

test.runIf(isRoot)('root is told what the account of the service may not; a draft is for root alone', async () => {
  owned();
  bench.configure('');
  chmodSync(bench.configFile, 0o600);
  const draft = await found();
  expect([draft.code, draft.of('error')]).toEqual([0, []]);
  const asNobody = (usual: string): readonly Finding[] => {
    const module = JSON.stringify(join(import.meta.dirname, '../preflight/files.ts'));
    const program = `import { checkConfigFile } from ${module}; process.setgroups([]); process.setgid(65534); process.setuid(65534);
      console.log(JSON.stringify(checkConfigFile(${JSON.stringify(bench.configFile)}, ${JSON.stringify(usual)})));`;
    const said = execFileSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });
    return JSON.parse(said) as Finding[];
  };
  expect(asNobody(bench.configFile)).toEqual([
    {
      level: 'error',
      what: expect.stringMatching(/^the account of the service cannot read .*collector\.yaml: permission denied/) as string,
      fix: expect.stringMatching(
        /^chgrp relight-collector (\S+collector\.yaml) && chmod 640 \1; it has to be able to enter \S+, too/,
      ) as string,
    },
  ]);
  expect(asNobody('/etc/relight/collector.yaml')).toEqual([]);
  chmodSync(bench.dataDir, 0o500);
  expect((await found()).of('error')).toEqual([expect.stringMatching(/data_dir .* cannot be written: permission denied/)]);
});

/** Its own view of /etc/group is what a command needs to have groups that this machine does not. */
const hasNamespaces = isRoot && spawnSync('sh', ['-c', 'exec unshare "$@"', 'sh', '--mount', 'true']).status === 0;
test.runIf(hasNamespaces)('a key that the account of the service reads through one of its groups is read', async () => {
  owned();
  const { certFile, keyFile } = { certFile: join(bench.dir, 'own', 'cert.pem'), keyFile: join(bench.dir, 'own', 'key.pem') };
  const now = Date.now();
  const files = await selfSigned({ names: ['127.0.0.1'], keyPem: null, notBefore: now - dayMs, notAfter: now + 90 * dayMs });
  writeTls({ certFile, keyFile }, files);
  chmodSync(dirname(keyFile), 0o755);
  chownSync(keyFile, 0, 4_242);
  chmodSync(keyFile, 0o640);
  bench.configure(`tls: {cert_file: ${certFile}, key_file: ${keyFile}}\n`);
  const nobody = /^([^:]+):[^:]*:65534:/m.exec(readFileSync('/etc/passwd', 'utf8'))?.[1] ?? 'nobody';
  const group = join(bench.dir, 'group');
  const checked = (members: string): string => {
    writeFileSync(group, `${readFileSync('/etc/group', 'utf8')}relight-test:x:4242:${members}\n`);
    const words = [process.execPath, join(import.meta.dirname, '../main.ts'), 'check', '-c', bench.configFile];
    return spawnSync(
      'sh',
      ['-c', 'exec unshare "$@"', 'sh', '--mount', 'sh', '-c', 'mount --bind "$0" /etc/group && exec "$@"', group, ...words],
      {
        encoding: 'utf8',
        env: bench.env,
      },
    ).stdout;
  };
  expect(checked('')).toMatch(/key\.pem cannot be read: EACCES/);
  expect(checked(nobody)).toMatch(/^ok {6}the certificate .*cert\.pem, with its key, is valid until/m);
});
