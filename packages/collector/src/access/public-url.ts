/** How hosts reach this collector, as `relight-collector init` was told: no configuration says it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeDurably } from './durable-file.ts';

/** In the data directory; one line. */
export const publicUrlFile = (dataDir: string): string => join(dataDir, 'public-url');

export const keepUrl = (dataDir: string, url: string): void => writeDurably(publicUrlFile(dataDir), `${url}\n`, 0o644);

/** As init was told; null: it was not, or was an older one. */
export function keptUrl(dataDir: string): string | null {
  try {
    const text = readFileSync(publicUrlFile(dataDir), 'utf8').trim();
    return /^https?:\/\/\S+$/.test(text) ? text : null;
  } catch {
    return null;
  }
}
