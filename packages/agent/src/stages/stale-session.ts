/** Before a process that failed on the session directory of another cluster: Ray is stopped, the directory set aside, not deleted. */
import { containerOf, endedWithin } from './context.ts';
import { describeExit } from './output.ts';
import { namedRun } from './named-run.ts';
import type { Op } from '../supervisor/op.ts';
import type { StageContext } from './stage.ts';

/** `ray stop --force` waits up to 16 s for its processes; a directory is renamed at once. */
const timeoutMs = 30_000;

/**
 * POSIX sh; Ray's own rule for where its directory is. Only what `session_latest` points to, and only below that directory, is
 * moved: another Ray that shares it keeps its own.
 */
const script = `d="\${RAY_TMPDIR:-\${TMPDIR:-/tmp}}/ray"
[ -d "$d" ] || exit 0
ray stop --force >/dev/null 2>&1
latest=$(readlink "$d/session_latest")
rm -f "$d/session_latest" "$d/ray_current_cluster"
case "$latest" in
  "$d"/session_*) ;;
  session_*) latest="$d/$latest" ;;
  *) exit 0 ;;
esac
[ -d "$latest" ] || exit 0
rm -rf "$d/stale_session" && mv "$latest" "$d/stale_session" && echo "set aside as $d/stale_session"`;

export async function setSessionAside({ run }: Extract<Op, { kind: 'process' }>, context: StageContext): Promise<void> {
  const { runs, spec, generation, vars, signal } = context;
  const containerId = containerOf(context);
  context.progress('set the stale session aside');
  const request = { containerId, generation, workload: spec.name, shell: ['sh', '-c'], env: vars, command: { text: script } };
  const clean = namedRun(run, 'stale session');
  const handle = await runs.start({ ...request, run: clean }, signal);
  const exit = await endedWithin(context, timeoutMs, (within) => runs.exited(handle, containerId, within));
  if (exit === null) await runs.stop([clean], containerId, 0, signal);
  const why = exit === null ? 'not done in time' : exit.exitCode === 0 ? null : describeExit(exit);
  context.emit({
    kind: 'host.notice',
    severity: why === null ? 'info' : 'warning',
    message: why === null ? 'the stale session of Ray was set aside' : `the stale session of Ray could not be set aside: ${why}`,
    data: { code: 'stale-session', level: 'process' },
  });
}
