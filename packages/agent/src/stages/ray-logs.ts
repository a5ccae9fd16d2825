/**
 * What Ray's daemons wrote last, from the logs of the newest session. A command inside the container reads them: a path of a
 * container is never followed from the host.
 */
import type { Engine } from '../engine/engine.ts';

/** Of each daemon, and for all of it. */
const bytesMax = 8_192;
const timeoutMs = 2_000;

/**
 * POSIX sh. Ray's own rule for where its directory is; a start in a session that is there already numbers its files, so that
 * the newest counts. `$1`: a file that is older than what is asked for, or nothing.
 */
const script = `cd "\${RAY_TMPDIR:-\${TMPDIR:-/tmp}}/ray/session_latest/logs" 2>/dev/null || exit 0
for daemon in gcs_server raylet; do
  newest=$(ls -t "$daemon".err "$daemon".*.err 2>/dev/null | head -n 1)
  [ -s "$newest" ] || continue
  [ -z "$1" ] || [ "$newest" -nt "$1" ] || continue
  tail -c ${bytesMax} "$newest"
done`;

/** Oldest lines first; empty when there are none. Fails when it cannot be asked: no shell, a container that just ended. */
export async function readRayLogs(
  engine: Pick<Engine, 'exec'>,
  containerId: string,
  newerThan: string,
  signal?: AbortSignal,
): Promise<string> {
  const exec = { argv: ['sh', '-c', script, 'sh', newerThan] };
  const { stdout } = await engine.exec(containerId, exec, { timeoutMs, ...(signal === undefined ? {} : { signal }) });
  return stdout;
}
