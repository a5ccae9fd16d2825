/** The one line that joins a host, and what it is made of. */
import { fingerprintOf } from '@relight/shared/certificate';
import { readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { readTls, tlsFilesOf } from '../access/tls-files.ts';
import type { CollectorConfig } from '../config.ts';

export interface Reached {
  /** As hosts have it: http or https, no trailing slash. */
  readonly url: string;
  /** SHA-256 of the certificate; null: authorities vouch for it, or there is none. */
  readonly fingerprint: string | null;
}

export const joinLine = ({ url, fingerprint }: Reached, token: string): string =>
  `relight-agent join ${url} ${token}${fingerprint === null ? '' : ` --fingerprint ${fingerprint}`}`;

/** Where init keeps how hosts reach this collector: no configuration says it. */
const urlFile = (dataDir: string): string => join(dataDir, 'public-url');

export const keepUrl = (dataDir: string, url: string): void => writeFileSync(urlFile(dataDir), `${url}\n`);

/** As init was told; null: it was not, or was an older one. */
function keptUrl(dataDir: string): string | null {
  try {
    const text = readFileSync(urlFile(dataDir), 'utf8').trim();
    return /^https?:\/\/\S+$/.test(text) ? text : null;
  } catch {
    return null;
  }
}

/** `isGuess`: nobody has said how hosts reach it. Fails with config-invalid when the certificate cannot be read. */
export function howReached(config: CollectorConfig, asked: string | undefined): Reached & { readonly isGuess: boolean } {
  const files = tlsFilesOf(config);
  const known = asked?.replace(/\/+$/, '') ?? keptUrl(config.dataDir);
  const url = known ?? `${files === null ? 'http' : 'https'}://${hostname()}:${config.listen.port}`;
  const fingerprint = files === null || !url.startsWith('https:') ? null : fingerprintOf(readTls(files).certificate);
  return { url, fingerprint, isGuess: known === null };
}
