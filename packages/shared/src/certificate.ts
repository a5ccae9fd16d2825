/**
 * Which certificate a collector may show. A pin is the SHA-256 of the certificate (what `openssl x509 -fingerprint -sha256` prints) or
 * of its public key alone, which stays the same when the certificate is renewed. Whoever pins needs no authority and no matching name.
 */
import { createHash, type X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import { RelightError } from './errors.ts';

/** 64 hex digits in lower case. */
export type Fingerprint = string;

/** With or without colons, in either case, also as `sha256:…`. Undefined: it is none. */
export function parseFingerprint(text: string): Fingerprint | undefined {
  const hex = text
    .trim()
    .replace(/^sha-?256[:= ]/i, '')
    .replaceAll(':', '')
    .toLowerCase();
  return /^[0-9a-f]{64}$/.test(hex) ? hex : undefined;
}

const sha256 = (bytes: Uint8Array): Fingerprint => createHash('sha256').update(bytes).digest('hex');

export const fingerprintOf = (certificate: X509Certificate): Fingerprint => sha256(certificate.raw);
export const keyFingerprintOf = (certificate: X509Certificate): Fingerprint =>
  sha256(certificate.publicKey.export({ type: 'spki', format: 'der' }));

/** Null: it is the pinned one, and within its time. @param now epoch milliseconds */
export function judgeCertificate(certificate: X509Certificate | undefined, pin: Fingerprint, now: number): RelightError | null {
  if (certificate === undefined) return new RelightError('certificate-refused', 'the collector showed no certificate');
  const seen = fingerprintOf(certificate);
  if (pin !== seen && pin !== keyFingerprintOf(certificate)) {
    return new RelightError('certificate-refused', `the collector's certificate has the fingerprint ${seen}, not the pinned ${pin}`, {
      advice:
        'If the collector was set up anew, join again with its new fingerprint (relight-collector certificate show); else somebody stands in between.',
    });
  }
  const { validFromDate, validToDate } = certificate;
  if (now > validToDate.getTime()) {
    return new RelightError('certificate-refused', `the collector's certificate expired at ${validToDate.toISOString()}`, {
      advice: 'Renew it on the collector: relight-collector certificate renew. Agents go on by themselves.',
    });
  }
  if (now < validFromDate.getTime()) {
    return new RelightError('certificate-refused', `the collector's certificate is valid only from ${validFromDate.toISOString()}`, {
      advice: 'Set the clock of this host, or of the collector.',
    });
  }
  return null;
}

/** Undefined: the connection failed of something else. */
export function certificateAdvice(thrown: unknown): string | undefined {
  const code = (thrown as NodeJS.ErrnoException | null)?.code ?? '';
  if (thrown instanceof RelightError) return thrown.advice;
  if (!/CERT|SELF_SIGNED|UNABLE_TO_(?:VERIFY|GET)/.test(code)) return undefined;
  return code === 'CERT_HAS_EXPIRED'
    ? 'Renew the certificate of the collector: relight-collector certificate renew.'
    : "Name the collector's certificate authority (ca_file), or its fingerprint (relight-collector certificate show).";
}

interface Target {
  readonly host?: string | null | undefined;
  readonly port?: string | number | null | undefined;
}

/** An attempt that hangs ends after this, whoever asked for it. */
const connectMs = 10_000;

/**
 * `createConnection` for requests and WebSockets. The certificate is judged before the socket is handed over, so that nothing, and
 * above all no token, is sent to anybody else.
 *
 * @param seen gets the accepted one
 */
export function pinnedConnection(
  pin: Fingerprint,
  seen: (certificate: X509Certificate) => void = () => undefined,
  now: () => number = Date.now,
) {
  return (options: Target, done: (error: Error | null, socket: TLSSocket) => void): undefined => {
    const host = options.host ?? 'localhost';
    const socket = connect({
      host,
      port: Number(options.port ?? 443),
      // Names are not what is checked.
      ...(isIP(host) === 0 ? { servername: host } : {}),
      minVersion: 'TLSv1.2',
      rejectUnauthorized: false,
    });
    const failed = (error: Error): void => {
      socket.destroy();
      done(error, socket);
    };
    socket.setTimeout(connectMs, () => socket.destroy(new Error(`no TLS connection within ${connectMs / 1_000} s`)));
    socket.once('error', failed);
    socket.once('secureConnect', () => {
      socket.off('error', failed);
      socket.setTimeout(0);
      socket.removeAllListeners('timeout');
      const certificate = socket.getPeerX509Certificate();
      const refused = judgeCertificate(certificate, pin, now());
      if (refused === null && certificate !== undefined) {
        seen(certificate);
        return done(null, socket);
      }
      socket.once('error', () => undefined);
      failed(refused ?? new RelightError('certificate-refused', 'the collector showed no certificate'));
    });
  };
}
