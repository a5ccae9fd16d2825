/** Certificate and key of the collector on disk. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { lstatSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { certificateBytesMax, readBoundedSync } from '@relight/shared/bounded-read';
import { RelightError, errorMessage } from '@relight/shared/errors';
import type { TlsConfig } from '../config.ts';

export interface TlsMaterial {
  /** PEM; may hold a chain. */
  readonly cert: string;
  readonly key: string;
  /** The first of the chain. */
  readonly certificate: X509Certificate;
}

/** Where `relight-collector init` puts them. */
export const ownTlsFiles = (dataDir: string): TlsConfig => ({
  certFile: join(dataDir, 'tls', 'cert.pem'),
  keyFile: join(dataDir, 'tls', 'key.pem'),
});

/**
 * What is configured, else what init has made; null: neither, so plain HTTP. Only what is not there at all counts as none: where one of
 * both is missing or cannot be read, tokens would go out in the clear, and every agent that pins would stay away.
 */
export function tlsFilesOf({ dataDir, tls }: { readonly dataDir: string; readonly tls: TlsConfig | null }): TlsConfig | null {
  if (tls !== null) return tls;
  const own = ownTlsFiles(dataDir);
  return isThere(own.certFile) || isThere(own.keyFile) ? own : null;
}

/** Also what this account may not look at, what has something in its way that is no directory, and a link that leads nowhere. */
function isThere(file: string): boolean {
  try {
    lstatSync(file);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOENT';
  }
}

/** Fails with config-invalid, naming the file; its `places` name the field alone, for what stands there may be anything. */
export function readTls({ certFile, keyFile }: TlsConfig): TlsMaterial {
  const cert = read(certFile, 'tls.cert_file');
  const key = read(keyFile, 'tls.key_file');
  const certificate = parsed(() => new X509Certificate(cert), 'tls.cert_file', `${certFile} is no certificate in PEM`);
  const privateKey = parsed(() => createPrivateKey(key), 'tls.key_file', `${keyFile} is no private key in PEM`);
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new RelightError('config-invalid', `tls: the key in ${keyFile} does not belong to the certificate in ${certFile}`, {
      advice: 'Put the two files there that were made together; the certificate of the server must be the first in its file.',
      data: { places: ['tls'] },
    });
  }
  return { cert, key, certificate };
}

/** The key for its owner alone. Each file is replaced as a whole. */
export function writeTls(
  { certFile, keyFile }: TlsConfig,
  { certPem, keyPem }: { readonly certPem: string; readonly keyPem: string },
): void {
  mkdirSync(dirname(keyFile), { recursive: true, mode: 0o700 });
  for (const [file, text, mode] of [
    [keyFile, keyPem, 0o600],
    [certFile, certPem, 0o644],
  ] as const) {
    writeFileSync(`${file}.new`, text, { mode });
    renameSync(`${file}.new`, file);
  }
}

function read(file: string, field: string): string {
  try {
    return String(readBoundedSync(file, certificateBytesMax, { patienceMs: 0 }));
  } catch (cause) {
    throw new RelightError('config-invalid', `${field}: ${file} cannot be read: ${errorMessage(cause)}`, {
      cause,
      advice: 'Put the file there, readable for the account of the collector.',
      data: { places: [field] },
    });
  }
}

function parsed<T>(parse: () => T, field: string, message: string): T {
  try {
    return parse();
  } catch (cause) {
    throw new RelightError('config-invalid', `${field}: ${message}: ${errorMessage(cause)}`, { cause, data: { places: [field] } });
  }
}
