/** What the engine says of a command inside a container, and the end of one: the engine has no call for that. */
import { readFile } from 'node:fs/promises';
import type { Connection, DockerClient } from './docker-client.ts';

/** For asking which process to kill, on top of the deadline. */
const killTimeoutMs = 2_000;

/** The part of `GET /exec/ID/json` that is read. `Pid` is the host's; `ExitCode` is null until it is over. */
interface ExecDocument {
  readonly Running: boolean;
  readonly ExitCode: number | null;
  readonly Pid: number;
  readonly ContainerID: string;
}

export const inspectExec = async (connection: Connection, execId: string): Promise<ExecDocument> =>
  (await connection.send({ method: 'GET', path: `/exec/${execId}/json` })) as ExecDocument;

/**
 * Fails when the engine does not answer. True: it is over, or was sent SIGKILL. Null: it has not begun. An exec is a session leader, so its
 * process group is what it started, except for what left the group.
 */
export async function killExec(client: DockerClient, execId: string): Promise<boolean | null> {
  const { Running, ExitCode, Pid, ContainerID } = await client.call('other', { timeoutMs: killTimeoutMs }, (connection) =>
    inspectExec(connection, execId),
  );
  if (!Running) return ExitCode === null ? null : true;
  if (Pid === 0) return null;
  // The pid is the engine's word from a moment ago: only a process in this very container is killed.
  const cgroup = await readFile(`/proc/${Pid}/cgroup`, 'utf8').catch(() => '');
  if (Pid === 1 || !cgroup.includes(ContainerID)) return false;
  try {
    process.kill(-Pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
  return true;
}
