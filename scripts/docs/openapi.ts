/** What a collector answers to GET /api/v1/openapi.json: one is started for it, on a data directory of its own. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@relight/agent/control/logger';
import { createCollector } from '@relight/collector/app';
import { readConfig } from '@relight/collector/config';
import { openForWriting } from '@relight/collector/store/database';
import { tokenWrites } from '@relight/collector/store/token-store';
import { systemClock } from '@relight/shared/clock';
import type { OpenApi } from './api-page.ts';

export async function openApi(): Promise<OpenApi> {
  const dataDir = mkdtempSync(join(tmpdir(), 'relight-docs-'));
  const config = readConfig(null, [{ listen: '127.0.0.1:0', dataDir }]);
  const logger = createLogger({ level: 'error', terminal: false, version: '' });
  try {
    const collector = await createCollector({ config, clock: systemClock, logger, version: '' });
    try {
      const { url } = await collector.listen();
      const db = openForWriting(dataDir);
      const { token } = tokenWrites(db).createToken('operator', null, 1, { role: 'view' });
      db.close();
      const response = await fetch(`${url}/api/v1/openapi.json`, { headers: { authorization: `Bearer ${token}` } });
      return (await response.json()) as OpenApi;
    } finally {
      await collector.close();
    }
  } finally {
    rmSync(dataDir, { recursive: true });
  }
}
