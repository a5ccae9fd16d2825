/** Every program that is compared with, one after the other, each in a directory of its own that is removed afterwards. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LogPeer } from './peer.ts';
import { startRsyslog } from './rsyslog.ts';
import { startVictoriaLogs } from './victoria-logs.ts';

/** What cannot be had on this machine is named with the reason, and passed over. */
export async function eachPeer(measure: (peer: LogPeer) => Promise<void>): Promise<void> {
  for (const start of [startRsyslog, startVictoriaLogs]) {
    const directory = mkdtempSync(join(tmpdir(), 'relight-peers-'));
    try {
      await using peer = await start(directory);
      await measure(peer);
    } catch (error) {
      console.log(`  not measured: ${error instanceof Error ? error.message : String(error)}`);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }
}
