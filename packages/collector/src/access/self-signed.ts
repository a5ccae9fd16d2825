/** A certificate that nobody vouches for: agents and operators know it by its fingerprint. Renewed with the same key, pins of the key hold. */
import { createPrivateKey, createPublicKey, randomBytes, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import { RelightError, errorMessage } from '@relight/shared/errors';

export interface SelfSignedOptions {
  /** Host names and addresses. */
  readonly names: readonly string[];
  /** PEM of the key to go on with; null: a new one. */
  readonly keyPem: string | null;
  /** Epoch milliseconds. */
  readonly notBefore: number;
  readonly notAfter: number;
}

const algorithm = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const signing = { ...algorithm, hash: 'SHA-256' } as const;
const serverAuthentication = '1.3.6.1.5.5.7.3.1';

/** Fails with config-invalid when the key is none that this makes. */
export async function selfSigned(options: SelfSignedOptions): Promise<{ readonly certPem: string; readonly keyPem: string }> {
  // Half a megabyte that the service itself never needs; the first is what the second stands on.
  await import('reflect-metadata');
  const x509 = await import('@peculiar/x509');
  const keys = options.keyPem === null ? await newKeys() : await keysOf(options.keyPem);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: `01${randomBytes(15).toString('hex')}`,
      name: 'CN=relight-collector',
      notBefore: new Date(options.notBefore),
      notAfter: new Date(options.notAfter),
      signingAlgorithm: signing,
      keys,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([serverAuthentication]),
        new x509.SubjectAlternativeNameExtension(
          [...new Set(options.names)].map((value) => ({ type: isIP(value) === 0 ? 'dns' : 'ip', value })),
        ),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    },
    webcrypto,
  );
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
  const keyPem = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }).export({ type: 'pkcs8', format: 'pem' });
  return { certPem: `${certificate.toString('pem').trimEnd()}\n`, keyPem: String(keyPem) };
}

async function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
}

async function keysOf(pem: string): Promise<webcrypto.CryptoKeyPair> {
  try {
    const key = createPrivateKey(pem);
    const pkcs8 = key.export({ type: 'pkcs8', format: 'der' });
    const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
    return {
      privateKey: await webcrypto.subtle.importKey('pkcs8', pkcs8, algorithm, true, ['sign']),
      publicKey: await webcrypto.subtle.importKey('spki', spki, algorithm, true, ['verify']),
    };
  } catch (cause) {
    throw new RelightError('config-invalid', `the key cannot be used for a certificate of our own: ${errorMessage(cause)}`, {
      cause,
      advice: 'Renew a certificate of your own where it came from; this renews only what relight-collector init has made.',
    });
  }
}
