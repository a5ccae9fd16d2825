/**
 * Which certificate a collector may show. A pin is the SHA-256 of the certificate (what `openssl x509 -fingerprint -sha256` prints) or
 * of its public key alone, which stays the same when the certificate is renewed. Whoever pins needs no authority and no matching name.
 */
import { createHash, type X509Certificate } from 'node:crypto';
import { isIP, type LookupFunction } from 'node:net';
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

/** More than these are no slip of the hand. */
const typosMax = 4;

function mistyped(shown: readonly Fingerprint[], pin: Fingerprint): string {
  for (const right of shown) {
    const apart = Array.from(pin, (_, i) => i).filter((i) => pin[i] !== right[i]);
    const [first] = apart;
    if (first === undefined || apart.length > typosMax) continue;
    const more = apart.length === 1 ? '' : `, and ${apart.length - 1} more`;
    return `A typo? Digit ${first + 1} of 64 is ${pin[first]} in what was given and ${right[first]} there${more}: …${around(pin, first)}… and …${around(right, first)}…`;
  }
  return 'Compare it with relight-collector certificate show: a typo, the one of another collector, or of a certificate that was renewed since? That of its key stays the same.';
}

const around = (hex: string, at: number): string => `${hex.slice(Math.max(0, at - 4), at)}[${hex[at]}]${hex.slice(at + 1, at + 5)}`;

/** Null: it is the pinned one, and within its time. @param now epoch milliseconds */
export function judgeCertificate(certificate: X509Certificate | undefined, pin: Fingerprint, now: number): RelightError | null {
  if (certificate === undefined) return new RelightError('certificate-refused', 'the collector showed no certificate');
  const seen = fingerprintOf(certificate);
  if (pin !== seen && pin !== keyFingerprintOf(certificate)) {
    return new RelightError('certificate-refused', `the collector's certificate has the fingerprint ${seen}, not the pinned ${pin}`, {
      advice: `${mistyped([seen, keyFingerprintOf(certificate)], pin)} If the collector was set up anew, join again with its new fingerprint; else somebody stands in between.`,
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
    : "Name the collector's certificate authority (--ca-file, ca_file), or its fingerprint (--fingerprint; relight-collector certificate show tells it).";
}

interface Target {
  readonly host?: string | null | undefined;
  readonly port?: string | number | null | undefined;
  readonly lookup?: LookupFunction | undefined;
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
  withinMs = connectMs,
) {
  return (options: Target, done: (error: Error | null, socket: TLSSocket) => void): undefined => {
    const host = options.host ?? 'localhost';
    const socket = connect({
      host,
      port: Number(options.port ?? 443),
      // Names are not what is checked.
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ...(options.lookup === undefined ? {} : { lookup: options.lookup }),
      minVersion: 'TLSv1.2',
      rejectUnauthorized: false,
    });
    const failed = (error: Error): void => {
      socket.destroy();
      done(error, socket);
    };
    let found = isIP(host) !== 0;
    socket.once('lookup', () => (found = true));
    const missing = (): string => (found ? 'no TLS connection' : `cannot resolve ${host}`);
    socket.setTimeout(withinMs, () => socket.destroy(new Error(`${missing()} within ${withinMs / 1_000} s`)));
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
