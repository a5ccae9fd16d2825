/** Commands inside a container. The engine has no call to end one: a deadline kills its process group by host pid. */
import type { Readable } from 'node:stream';
import { delay } from '@relight/shared/clock';
import { RelightError } from '@relight/shared/errors';
import { FrameDemuxer, TailBuffer } from './demux.ts';
import type { Connection, DockerClient } from './docker-client.ts';
import type { CallOptions, DetachedExec, ExecOptions, ExecResult } from './engine.ts';
import { refusal } from './errors.ts';
import { inspectExec, killExec } from './exec-kill.ts';
import type { LateExecs } from './late-execs.ts';

const outputBytesMax = 64 * 1024;

export function startDetached(client: DockerClient, id: string, exec: ExecOptions, options: CallOptions): Promise<DetachedExec> {
  return client.call('exec', options, async (connection) => {
    const execId = await createExec(connection, id, exec, false);
    await connection.send({ method: 'POST', path: `/exec/${execId}/start`, body: { Detach: true } });
    const { Running, Pid } = await inspectExec(connection, execId);
    return { execId, pid: Running ? Pid : 0 };
  });
}

/**
 * Fails with stage-timeout after the deadline, when the command runs, and with engine-timeout when the engine hangs. What the engine
 * begins after that all the same is left to `late`: nobody waits for it any more.
 */
export async function runToEnd(
  client: DockerClient,
  id: string,
  exec: ExecOptions,
  options: CallOptions,
  late: LateExecs,
): Promise<ExecResult> {
  const timeoutMs = options.timeoutMs ?? client.callTimeoutMs;
  let started: string | undefined;
  try {
    return await client.call('exec', options, async (connection) => {
      const execId = await createExec(connection, id, exec, true);
      connection.signal.throwIfAborted();
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
      if ((await killExec(client, started).catch(() => null)) === null) late.add(started, id);
      throw error;
    }
    if (!(error instanceof RelightError) || error.code !== 'engine-timeout') throw error;
    const killed = await killExec(client, started).catch((thrown: unknown) => {
      late.add(started as string, id);
      throw thrown;
    });
    // The command does not run: the engine hangs over its beginning.
    if (killed === null) {
      late.add(started, id);
      throw error;
    }
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
