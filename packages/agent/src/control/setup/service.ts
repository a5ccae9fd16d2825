/** The agent's unit, as systemd knows it: whether it can be started, and starting it. */
import { existsSync } from 'node:fs';
import { systemClock } from '@relight/shared/clock';
import { runChild } from '@relight/shared/child';
import { lastLine } from '../../stages/output.ts';

const askMs = 10_000;
/** Above TimeoutStartSec=120 of the unit. */
const startMs = 150_000;

export interface AgentService {
  /** `none`: no systemd, or it has no such unit. */
  state(): Promise<'none' | 'stopped' | 'running'>;
  /** Null: it runs. Otherwise why not. */
  start(argv: readonly [string, ...string[]]): Promise<string | null>;
}

/** Enabling reloads systemd, which takes GPUs from running containers: this does not. A unit it has never seen is read when asked for. */
export const startLine: readonly [string, ...string[]] = ['systemctl', 'enable', '--now', '--no-reload', 'relight-agent'];
export const restartLine: readonly [string, ...string[]] = ['systemctl', 'restart', 'relight-agent'];

export const systemdService: AgentService = {
  async state() {
    if (!existsSync('/run/systemd/system')) return 'none';
    const { exitCode, stdout } = await runChild({
      argv: ['systemctl', 'show', '--property=LoadState,ActiveState', 'relight-agent.service'],
      clock: systemClock,
      timeoutMs: askMs,
    });
    if (exitCode !== 0 || !/^LoadState=loaded$/m.test(stdout)) return 'none';
    return /^ActiveState=(active|activating|reloading)$/m.test(stdout) ? 'running' : 'stopped';
  },
  async start(argv) {
    const { exitCode, stderr, timedOut, spawnError } = await runChild({ argv, clock: systemClock, timeoutMs: startMs });
    if (exitCode === 0) return null;
    return spawnError ?? (timedOut ? 'systemctl did not end' : lastLine(stderr));
  },
};
