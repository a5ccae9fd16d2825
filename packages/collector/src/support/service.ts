/** What systemd says of the service, and what it has written down of it. */
import type { Clock } from '@relight/shared/clock';
import { runChild } from '@relight/shared/child';
import { failureOf, type Gathered, type RunChild } from './ask-part.ts';

const unit = 'relight-collector.service';
const journalLines = '2000';
const deadlineMs = 10_000;
const outputBytesMax = 16 << 20;
/** Not its environment, which may hold a proxy's password. */
const properties = [
  'LoadState,UnitFileState,ActiveState,SubState,Result,StatusText,NRestarts,MainPID,ExecMainStatus,ExecMainCode',
  'ActiveEnterTimestamp,InactiveEnterTimestamp,ExecMainStartTimestamp,ExecMainExitTimestamp,WatchdogTimestamp',
  'MemoryCurrent,CPUUsageNSec,TasksCurrent,LimitNOFILE,WatchdogUSec,TimeoutStartUSec,User,FragmentPath,DropInPaths,NeedDaemonReload,ExecStart',
].join(',');

/** Never rejects. */
export async function lookAtService(clock: Clock, run: RunChild = runChild): Promise<Gathered> {
  const asked = await Promise.all([
    ask('service.txt', ['systemctl', 'show', unit, '--no-pager', `--property=${properties}`]),
    ask('journal.txt', ['journalctl', `--unit=${unit}`, `--lines=${journalLines}`, '--no-pager', '--output=short-iso-precise']),
  ]);
  return { pieces: asked.flatMap(({ pieces }) => pieces), missing: asked.flatMap(({ missing }) => missing) };

  async function ask(name: string, argv: readonly [string, ...string[]]): Promise<Gathered> {
    const result = await run({ argv, clock, timeoutMs: deadlineMs, outputBytesMax, outputKept: 'end' });
    const failure = failureOf(result, deadlineMs);
    return {
      pieces: result.stdout === '' ? [] : [{ name, text: result.stdout }],
      missing: failure === null ? [] : [{ name, reason: `${argv[0]}: ${failure}` }],
    };
  }
}
