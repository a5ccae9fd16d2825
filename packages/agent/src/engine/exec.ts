/** Commands inside a container. The engine has no call to end one: a deadline kills its process group by host pid. */
import { readFile } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { delay } from '@relight/shared/clock';
import { RelightError } from '@relight/shared/errors';
import { FrameDemuxer, TailBuffer } from './demux.ts';
import type { Connection, DockerClient } from './docker-client.ts';
import type { CallOptions, DetachedExec, ExecOptions, ExecResult } from './engine.ts';
import { refusal } from './errors.ts';

const outputBytesMax = 64 * 1024;
/** For asking which process to kill, on top of the deadline. */
const killTimeoutMs = 2_000;

/** The part of `GET /exec/ID/json` that is read. `Pid` is the host's. */
interface ExecDocument {
  readonly Running: boolean;
  readonly ExitCode: number | null;
  readonly Pid: number;
  readonly ContainerID: string;
}

export function startDetached(client: DockerClient, id: string, exec: ExecOptions, options: CallOptions): Promise<DetachedExec> {
  return client.call('exec', options, async (connection) => {
    const execId = await createExec(connection, id, exec, false);
    await connection.send({ method: 'POST', path: `/exec/${execId}/start`, body: { Detach: true } });
    const { Running, Pid } = await inspectExec(connection, execId);
    return { execId, pid: Running ? Pid : 0 };
  });
}

/** Fails with stage-timeout after the deadline, when the command runs, and with engine-timeout when the engine hangs. */
export async function runToEnd(client: DockerClient, id: string, exec: ExecOptions, options: CallOptions): Promise<ExecResult> {
  const timeoutMs = options.timeoutMs ?? client.callTimeoutMs;
  let started: string | undefined;
  try {
    return await client.call('exec', options, async (connection) => {
      const execId = await createExec(connection, id, exec, true);
      // Before the answer: a command whose start was cut off may run all the same.
      started = execId;
      const body = { Detach: false, Tty: false };
      const stream = await connection.stream({ method: 'POST', path: `/exec/${execId}/start`, body }, connection.signal);
      const output = await collect(stream);
      return finish(output, await exitCode(client, connection, execId));
    });
  } catch (error) {
    if (started === undefined) throw error;
    if (options.signal?.aborted === true) {
      // The canceller waits for this, and its reason matters more than an engine that cannot be asked now.
      await killExec(client, started).catch(() => false);
      throw error;
    }
    if (!(error instanceof RelightError) || error.code !== 'engine-timeout') throw error;
    const killed = await killExec(client, started);
    // The command does not run: the engine hangs over its beginning.
    if (killed === null) throw error;
    throw new RelightError('stage-timeout', `${exec.argv.join(' ').slice(0, 100)} did not end within ${timeoutMs} ms`, {
      cause: error,
      data: { timeoutMs, killed },
    });
  }
}

async function createExec(connection: Connection, id: string, exec: ExecOptions, attach: boolean): Promise<string> {
  const body = {
    Cmd: exec.argv,
    AttachStdout: attach,
    AttachStderr: attach,
    Env: Object.entries(exec.env ?? {}).map(([name, value]) => `${name}=${value}`),
    ...(exec.user === undefined ? {} : { User: exec.user }),
    ...(exec.workingDir === undefined ? {} : { WorkingDir: exec.workingDir }),
  };
  const answer = await connection.send({ method: 'POST', path: `/containers/${id}/exec`, body });
  return (answer as { Id: string }).Id;
}

const inspectExec = async (connection: Connection, execId: string): Promise<ExecDocument> =>
  (await connection.send({ method: 'GET', path: `/exec/${execId}/json` })) as ExecDocument;

async function collect(stream: Readable): Promise<{ stdout: string; stderr: string }> {
  const buffers = { stdout: new TailBuffer(outputBytesMax), stderr: new TailBuffer(outputBytesMax) };
  const demuxer = new FrameDemuxer((name, payload) => buffers[name].push(payload));
  for await (const chunk of stream as AsyncIterable<Buffer>) demuxer.push(chunk);
  return { stdout: buffers.stdout.text(), stderr: buffers.stderr.text() };
}

/** The output ends before the command does when the command closes its streams: ask until it is over. */
async function exitCode(client: DockerClient, connection: Connection, execId: string): Promise<number> {
  for (let pauseMs = 1; ; pauseMs = Math.min(200, pauseMs * 2)) {
    const { Running, ExitCode } = await inspectExec(connection, execId);
    if (!Running && ExitCode !== null) return ExitCode;
    await delay(client.clock, pauseMs, connection.signal);
  }
}

/** Engine 20.10 reports a program that cannot be started as output and exit code 126 or 127; runc, which sees the pause first, in words of its own. */
const notStarted = /^(?:OCI runtime exec failed|cannot exec in a paused )/;

function finish(output: { readonly stdout: string; readonly stderr: string }, code: number): ExecResult {
  if ((code === 126 || code === 127) && notStarted.test(output.stdout)) throw refusal('exec', 400, output.stdout.trim());
  return { exitCode: code, ...output };
}

/**
 * Fails when the engine does not answer. True: it is over, or was sent SIGKILL. Null: it has not begun. An exec is a session leader, so its
 * process group is what it started, except for what left the group.
 */
async function killExec(client: DockerClient, execId: string): Promise<boolean | null> {
  const { Running, Pid, ContainerID } = await client.call('other', { timeoutMs: killTimeoutMs }, (connection) =>
    inspectExec(connection, execId),
  );
  if (!Running) return true;
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
