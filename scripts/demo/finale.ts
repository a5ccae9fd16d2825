/** What the scenes leave behind: the logs, the alert, and the count of every byte. */
import { isDeepStrictEqual } from 'node:util';
import type { ApiLogEntry } from '@relight/shared/api';
import type { Lab } from '../../test/support/lab.ts';
import { waitFor } from '../../test/support/wait.ts';
import type { Stage } from './scene.ts';
import { host, workload } from './worker.ts';

/** True when every line is there once. */
export async function showLogs({ lab, present }: Stage): Promise<boolean> {
  present.title(`relight tail ${host}/${workload}`);
  present.block((await lab.relight('tail', `${host}/${workload}`, '-n', '12', '--no-follow', '--timestamps')).stdout);
  const entries = await lab.fleet.logs({ host, workload, source: 'process' });
  const problem = firstHole(entries);
  present.say('');
  present.say(problem === null ? `${entries.length} lines of the process over all its runs: none lost, none twice` : `LOGS: ${problem}`);
  return problem === null && entries.length > 0;
}

/** Offsets count bytes within a run: each line must begin where the one before ended. */
function firstHole(entries: readonly ApiLogEntry[]): string | null {
  const ends = new Map<string, number>();
  for (const entry of entries) {
    if ('gap' in entry) return `a gap of ${entry.gap.to - entry.gap.from} bytes: ${entry.gap.reason}`;
    const run = `${entry.generation}/${entry.run}`;
    const expected = ends.get(run) ?? 0;
    if (entry.offset !== expected) return `run ${run}: a line at byte ${entry.offset} where ${expected} was expected`;
    ends.set(run, entry.offset + Buffer.byteLength(entry.line) + 1);
  }
  return null;
}

/** True when the alert arrived once per change. */
export async function showAlert({ lab, present }: Stage): Promise<boolean> {
  present.title('RepeatedRestarts, as the webhook received it');
  const isMeant = ({ body }: Lab['webhook']['notifications'][number]): boolean =>
    body.alerts.some(({ labels }) => labels['alertname'] === 'RepeatedRestarts' && labels['workload'] === workload);
  const notification = await waitFor(() => lab.webhook.notifications.find(isMeant), {
    timeoutMs: 30_000,
    what: 'the RepeatedRestarts alert at the webhook',
  });
  present.block(JSON.stringify(notification.body, null, 2));
  const bodies = lab.webhook.notifications.map(({ body }) => body);
  const twice = bodies.some((body, i) => bodies.slice(0, i).some((earlier) => isDeepStrictEqual(earlier, body)));
  present.say('');
  present.say(`${bodies.length} notification${bodies.length === 1 ? '' : 's'} in all, none twice: ${twice ? 'NO' : 'yes'}`);
  return !twice;
}
