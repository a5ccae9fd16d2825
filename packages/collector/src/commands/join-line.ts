/** The one line that joins a host, and what it is made of. */
import { fingerprintOf, keyFingerprintOf } from '@relight/shared/certificate';
import type { X509Certificate } from 'node:crypto';
import { isoTime } from '@relight/shared/api';
import { hostname } from 'node:os';
import { keptUrl } from '../access/public-url.ts';
import { readTls, tlsFilesOf } from '../access/tls-files.ts';
import type { CollectorConfig, TlsConfig } from '../config.ts';

export interface Reached {
  /** As hosts have it: http or https, no trailing slash. */
  readonly url: string;
  /** SHA-256 of the key, which `certificate renew` keeps: a line that was put away goes on to be right. Null: authorities vouch for it, or there is none. */
  readonly fingerprint: string | null;
  /** What is to be said beside the line; null: nothing. */
  readonly note: string | null;
}

export const joinLine = ({ url, fingerprint }: Omit<Reached, 'note'>, token: string): string =>
  `relight-agent join ${url} ${token}${fingerprint === null ? '' : ` --fingerprint ${fingerprint}`}`;

/** `for 10 hosts, until 2026-01-31T12:00:00.000Z`. @param expiresAt epoch milliseconds */
export const joinsText = (uses: number, expiresAt: number): string =>
  `for ${uses === 1 ? 'one host' : `${uses} hosts`}, until ${isoTime(expiresAt)}`;

/**
 * Of a certificate of one's own (tls:) the line names no fingerprint: a host keeps that of the key, and what renews such certificates makes a
 * new key as a rule (certbot does). Every host that had joined with it would then stay away.
 */
export const ownCertificateNote = ({ certFile }: TlsConfig, x509: X509Certificate): string =>
  `The certificate ${certFile} is your own: the line names no fingerprint, and hosts ask their authorities. For an authority of your own add ` +
  `--ca-file FILE. --fingerprint ${keyFingerprintOf(x509)} would pin its key: once it is renewed with another key, hosts that joined so stay away.`;

/** For a script: all that the line is made of, and what a person is told beside it. */
export const joinDocument = ({ url, isGuess, fingerprint, certificateFingerprint, note }: FoundWay, token: string) => ({
  url,
  urlIsGuess: isGuess,
  fingerprint: certificateFingerprint,
  keyFingerprint: fingerprint,
  join: joinLine({ url, fingerprint }, token),
  note,
});

export interface FoundWay extends Reached {
  /** SHA-256 of the certificate as it is now, where the line names a fingerprint. */
  readonly certificateFingerprint: string | null;
  /** Nobody has said how hosts reach it. */
  readonly isGuess: boolean;
}

/** Fails with config-invalid when the certificate cannot be read. */
export function howReached(config: CollectorConfig, asked: string | undefined): FoundWay {
  const files = tlsFilesOf(config);
  const known = asked?.replace(/\/+$/, '') ?? keptUrl(config.dataDir);
  const url = known ?? `${files === null ? 'http' : 'https'}://${hostname()}:${config.listen.port}`;
  const certificate = files === null || !url.startsWith('https:') ? null : readTls(files).certificate;
  const pinned = config.tls === null ? certificate : null;
  return {
    url,
    fingerprint: pinned === null ? null : keyFingerprintOf(pinned),
    certificateFingerprint: pinned === null ? null : fingerprintOf(pinned),
    note: certificate === null || config.tls === null ? null : ownCertificateNote(config.tls, certificate),
    isGuess: known === null,
  };
}
