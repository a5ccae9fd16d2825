/** What the certificate says of itself, as the account of the service sees it; of the key only whether it can be read and belongs to it. */
import { certificateBytesMax, readBoundedSync } from '@relight/shared/bounded-read';
import { fingerprintOf, keyFingerprintOf } from '@relight/shared/certificate';
import { X509Certificate } from 'node:crypto';
import { lstatSync } from 'node:fs';
import { readTls, tlsFilesOf } from '../access/tls-files.ts';
import { jsonPiece, told, type PartRecord, type PartRequest } from './part.ts';

export function certificatePiece({ dataDir, tls }: Pick<PartRequest, 'dataDir' | 'tls'>, now: number): PartRecord {
  return jsonPiece('certificate.json', () => {
    const files = tlsFilesOf({ dataDir, tls });
    if (files === null) return { scheme: 'http', certificate: null };
    const { certFile, keyFile } = files;
    return {
      scheme: 'https',
      certFile,
      certFileAccess: told(() => accessOf(certFile)),
      keyFile,
      keyFileAccess: told(() => accessOf(keyFile)),
      usable: told(() => (readTls(files), 'yes, key and certificate belong together')),
      certificate: told(() => certificateFacts(String(readBoundedSync(certFile, certificateBytesMax)), now)),
    };
  });
}

function accessOf(file: string): string {
  const { mode, uid, gid } = lstatSync(file);
  return `${mode.toString(8)} ${uid}:${gid}`;
}

function certificateFacts(pem: string, now: number): unknown {
  const certificate = new X509Certificate(pem);
  const { subject, issuer, subjectAltName = null, validFromDate, validToDate, serialNumber, publicKey } = certificate;
  return {
    subject,
    issuer,
    subjectAltName,
    notBefore: validFromDate.toISOString(),
    notAfter: validToDate.toISOString(),
    valid: now < validFromDate.getTime() ? 'not yet' : now > validToDate.getTime() ? 'expired' : 'yes',
    serialNumber,
    fingerprint: fingerprintOf(certificate),
    keyFingerprint: keyFingerprintOf(certificate),
    keyType: publicKey.asymmetricKeyType,
    certificatesInFile: pem.split('-----BEGIN CERTIFICATE-----').length - 1,
  };
}
