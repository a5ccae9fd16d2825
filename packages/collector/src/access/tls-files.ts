/** Certificate and key of the collector on disk. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { lstatSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { certificateBytesMax, readBoundedSync } from '@relight/shared/bounded-read';
import { RelightError, errorMessage } from '@relight/shared/errors';
import type { TlsConfig } from '../config.ts';
import { syncDirectory, writeDurably } from './durable-file.ts';

export interface TlsMaterial {
  /** PEM; may hold a chain. */
  readonly cert: string;
  readonly key: string;
  /** The first of the chain. */
  readonly certificate: X509Certificate;
}

export interface OwnTlsFiles extends TlsConfig {
  /** There since the two were made, and outside of their directory: without it, the loss of both would look like a collector that never had any. */
  readonly madeMark: string;
}

/** Where `relight-collector init` puts them. */
export const ownTlsFiles = (dataDir: string): OwnTlsFiles => ({
  certFile: join(dataDir, 'tls', 'cert.pem'),
  keyFile: join(dataDir, 'tls', 'key.pem'),
  madeMark: join(dataDir, 'tls-made'),
});

/**
 * What is configured, else what init has made; null: neither, so plain HTTP. Only what never was there counts as none: where one of
 * both is missing or cannot be read, tokens would go out in the clear, and every agent that pins would stay away.
 */
export function tlsFilesOf({ dataDir, tls }: { readonly dataDir: string; readonly tls: TlsConfig | null }): TlsConfig | null {
  if (tls !== null) return tls;
  const own = ownTlsFiles(dataDir);
  return isThere(own.certFile) || isThere(own.keyFile) || isThere(own.madeMark) ? own : null;
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
export function readTls(files: TlsConfig | OwnTlsFiles): TlsMaterial {
  const { certFile, keyFile } = files;
  const advice =
    'madeMark' in files
      ? 'Put it back from a backup. Where there is none: relight-collector certificate renew --new-key. To serve plain HTTP from now on: ' +
        `rm -r ${dirname(keyFile)} ${files.madeMark}`
      : 'Put the file there, readable for the account of the collector.';
  const cert = read(certFile, 'tls.cert_file', advice);
  const key = read(keyFile, 'tls.key_file', advice);
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

/** The key for its owner alone. Each file is replaced as a whole, and on the disk on return, as the tokens are that are told with it. */
export function writeTls(files: TlsConfig | OwnTlsFiles, { certPem, keyPem }: { readonly certPem: string; readonly keyPem: string }): void {
  const { certFile, keyFile } = files;
  mkdirSync(dirname(keyFile), { recursive: true, mode: 0o700 });
  syncDirectory(dirname(dirname(keyFile)));
  writeDurably(keyFile, keyPem, 0o600);
  writeDurably(certFile, certPem, 0o644);
  // Last: it must not stand there for what was never made.
  if ('madeMark' in files) markMade(files);
}

/** That a missing certificate is a lost one. Those of older versions have no mark until their collector starts with them. */
export function markMade({ madeMark }: OwnTlsFiles): void {
  if (!isThere(madeMark))
    writeDurably(madeMark, 'This collector has a certificate of its own in tls/, and does not start without it.\n', 0o644);
}

function read(file: string, field: string, advice: string): string {
  try {
    return String(readBoundedSync(file, certificateBytesMax, { patienceMs: 0 }));
  } catch (cause) {
    throw new RelightError('config-invalid', `${field}: ${file} cannot be read: ${errorMessage(cause)}`, {
      cause,
      advice,
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
