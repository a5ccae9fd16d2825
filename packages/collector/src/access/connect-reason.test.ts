import { createServer as createPlainServer } from 'node:http';
import { createServer, request } from 'node:https';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { X509Certificate } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { fingerprintOf, judgeCertificate, keyFingerprintOf, pinnedConnection } from '@relight/shared/certificate';
import { connectReason } from '@relight/shared/connect-reason';
import { selfSigned } from './self-signed.ts';

let pem: { readonly key: string; readonly cert: string };
beforeAll(async () => {
  const now = Date.now();
  const made = await selfSigned({ names: ['127.0.0.1'], keyPem: null, notBefore: now - 60_000, notAfter: now + 3_600_000 });
  pem = { key: made.keyPem, cert: made.certPem };
});

describe('why there is no connection', () => {
  it('names the name that cannot be resolved', () => {
    const failed = (code: string) => Object.assign(new Error(`getaddrinfo ${code} c.example`), { code, hostname: 'c.example' });
    expect(connectReason(failed('ENOTFOUND'))).toBe('cannot resolve c.example');
    expect(connectReason(failed('EAI_AGAIN'))).toBe('cannot resolve c.example: no name server answers');
    expect(connectReason(Object.assign(new Error(''), { code: 'ECONNREFUSED' }))).toBe('ECONNREFUSED');
  });

  it('says of a server without TLS what it is, not where in OpenSSL that was noticed', async () => {
    const server = createPlainServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const asked = request({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });
    const [error] = (await once(asked.end(), 'error').catch((thrown: unknown) => [thrown])) as [Error];
    server.close();
    expect(connectReason(error)).toMatch(/^what listens there speaks no TLS; .*systemctl restart relight-collector/);
  });

  it('gives no hints of Node.js about a certificate', async () => {
    const server = createServer(pem).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const asked = request({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });
    const [error] = (await once(asked.end(), 'error').catch((thrown: unknown) => [thrown])) as [Error];
    server.close();
    expect(connectReason(error)).toBe('self-signed certificate');
  });

  it('does not call a name server that is silent a want of TLS', async () => {
    const connect = pinnedConnection('0'.repeat(64), undefined, undefined, 20);
    const error = await new Promise<Error | null>((resolve) => {
      connect({ host: 'c.example', port: 443, lookup: () => undefined }, (failed) => resolve(failed));
    });
    expect(error?.message).toBe('cannot resolve c.example within 0.02 s');
  });
});

describe('a pin that is not the certificate’s', () => {
  const changed = (hex: string, at: number): string => hex.slice(0, at) + (hex[at] === '0' ? '1' : '0') + hex.slice(at + 1);

  it('is compared with it where it is nearly right: that is a typo before it is a stranger', () => {
    const certificate = new X509Certificate(pem.cert);
    for (const right of [fingerprintOf(certificate), keyFingerprintOf(certificate)]) {
      const { advice = '' } = judgeCertificate(certificate, changed(right, 41), Date.now()) ?? {};
      expect(advice).toMatch(/^A typo\? Digit 42 of 64 is \w in .* \w there/);
      expect(advice.indexOf('A typo?')).toBeLessThan(advice.indexOf('stands in between'));
    }
  });

  it('is not called a typo where nothing fits', () => {
    const certificate = new X509Certificate(pem.cert);
    const { advice = '' } = judgeCertificate(certificate, '0'.repeat(64), Date.now()) ?? {};
    expect(advice).toMatch(/^Compare it with relight-collector certificate show/);
  });
});
