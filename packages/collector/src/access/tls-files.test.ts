import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { selfSigned } from './self-signed.ts';
import { ownTlsFiles, readTls, tlsFilesOf, writeTls } from './tls-files.ts';

let dataDir: string;
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'relight-tls-'));
});
afterEach(() => rmSync(dataDir, { recursive: true }));

it('is plain HTTP only where there is neither a certificate nor a key', () => {
  expect(tlsFilesOf({ dataDir, tls: null })).toBeNull();
  mkdirSync(join(dataDir, 'tls'));
  expect(tlsFilesOf({ dataDir, tls: null })).toBeNull();
});

it.each(['certFile', 'keyFile'] as const)('with %s alone it is HTTPS, which cannot begin', (one) => {
  const own = ownTlsFiles(dataDir);
  mkdirSync(dirname(own[one]));
  writeFileSync(own[one], 'x');
  const files = tlsFilesOf({ dataDir, tls: null });
  expect(files).toEqual(own);
  expect(() => readTls(own)).toThrow(one === 'certFile' ? /key\.pem cannot be read/ : /cert\.pem cannot be read/);
});

it('what has no end is no certificate, and is read no further', () => {
  expect(() => readTls({ certFile: '/dev/zero', keyFile: '/dev/zero' })).toThrow(
    'tls.cert_file: /dev/zero cannot be read: it is longer than 4.0 MiB',
  );
});

it('a link to a certificate that is not there is not taken for none', () => {
  const own = ownTlsFiles(dataDir);
  mkdirSync(dirname(own.certFile));
  symlinkSync(join(dataDir, 'gone.pem'), own.certFile);
  expect(tlsFilesOf({ dataDir, tls: null })).toEqual(own);
});

it('a directory that cannot be looked into is not taken for none', () => {
  // What stands in the way of the path fails as a directory without rights does, also for root.
  writeFileSync(join(dataDir, 'tls'), '');
  expect(tlsFilesOf({ dataDir, tls: null })).toEqual(ownTlsFiles(dataDir));
});

it('once made, the loss of both is not taken for none', async () => {
  const own = ownTlsFiles(dataDir);
  writeTls(own, await selfSigned({ names: ['localhost'], keyPem: null, notBefore: 0, notAfter: 86_400_000 }));
  rmSync(dirname(own.keyFile), { recursive: true });
  expect(tlsFilesOf({ dataDir, tls: null })).toEqual(own);
  rmSync(own.madeMark);
  expect(tlsFilesOf({ dataDir, tls: null })).toBeNull();
});
