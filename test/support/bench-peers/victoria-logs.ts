/**
 * VictoriaLogs, for benches: built once from the Go module proxy, started on a free port with its data in a directory of its own.
 * It answers an insert when it has the lines in memory; they are on the disk some seconds later, or after `settle`.
 *
 *   const peer = await startVictoriaLogs(directory);
 *   await peer.send(await peer.encode('ray', bytes)); await peer.settle();
 *   await peer.search('chatcmpl-1f…', 100);
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findProgram } from '../engine-install.ts';
import { waitFor } from '../wait.ts';
import { freePort } from '../ports.ts';
import { PeerProcess, type LogPeer } from './peer.ts';

/** The last one that is in the module of VictoriaMetrics: the proxy has no version of the module of its own that came after it. */
const version = 'v1.121.0';
const program = 'github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-logs';
const cache = join(import.meta.dirname, '../../../node_modules/.cache/relight');

/** @throws Error that says why it cannot be had here. */
export async function startVictoriaLogs(directory: string): Promise<LogPeer> {
  const binary = await build();
  const [data, port] = [join(directory, 'victoria-logs'), await freePort()];
  const url = `http://127.0.0.1:${port}`;
  const process = await PeerProcess.start({
    name: 'victoria-logs',
    program: binary,
    args: [
      `-storageDataPath=${data}`,
      `-httpListenAddr=127.0.0.1:${port}`,
      '-retentionPeriod=100y',
      '-inmemoryDataFlushInterval=1s',
      '-loggerLevel=WARN',
    ],
    logFile: join(directory, 'victoria-logs.log'),
    isUp: async () => (await fetch(`${url}/health`).catch(() => null))?.ok === true,
  });
  return {
    name: `VictoriaLogs ${version}`,
    process,
    directory: data,
    encode: (stream, lines, at) => encode(stream, lines, at),
    send: (body) => post(`${url}/insert/jsonline?_stream_fields=stream`, body),
    settle: async () => {
      await post(`${url}/internal/force_flush`, Buffer.alloc(0));
      await waitFor(async () => (await inMemory(url)) === 0, { timeoutMs: 600_000, everyMs: 200, what: 'all rows to be on the disk' });
      await post(`${url}/internal/force_merge`, Buffer.alloc(0));
    },
    search: async (word, limit) => {
      const query = JSON.stringify(word);
      const answer = await fetch(`${url}/select/logsql/query`, {
        method: 'POST',
        body: new URLSearchParams({ query, limit: String(limit) }),
      });
      const text = await answer.text();
      if (!answer.ok) throw new Error(`victoria-logs answered ${answer.status}: ${text}`);
      return text.split('\n').length - 1;
    },
    [Symbol.asyncDispose]: () => process[Symbol.asyncDispose](),
  };
}

async function build(): Promise<string> {
  const binary = join(cache, `victoria-logs-${version}`);
  if (existsSync(binary)) return binary;
  const go = findProgram('go') ?? (existsSync('/usr/local/go/bin/go') ? '/usr/local/go/bin/go' : undefined);
  if (go === undefined) throw new Error('there is no Go here to build VictoriaLogs with');
  const source = mkdtempSync(join(tmpdir(), 'relight-victoria-logs-'));
  try {
    writeFileSync(join(source, 'go.mod'), 'module peers\n\ngo 1.24\n');
    writeFileSync(join(source, 'peers.go'), `//go:build tools\n\npackage peers\n\nimport _ "${program}"\n`);
    const run = promisify(execFile);
    await run(go, ['get', `${program}@${version}`], { cwd: source });
    mkdirSync(cache, { recursive: true });
    await run(go, ['build', '-o', `${binary}.${process.pid}`, program], { cwd: source });
    renameSync(`${binary}.${process.pid}`, binary);
    return binary;
  } catch (error) {
    throw new Error(`VictoriaLogs ${version} cannot be built from the Go module proxy`, { cause: error });
  } finally {
    rmSync(source, { recursive: true, force: true });
  }
}

/** One object a line, as its documentation has it. All lines of a chunk get the time of the chunk, each a microsecond later. */
function encode(stream: string, lines: Buffer, at: Date): Buffer {
  const second = at.toISOString().slice(0, 19);
  const micros = (at.getTime() % 1_000) * 1_000;
  const head = `{"stream":${JSON.stringify(stream)},"_time":"${second}.`;
  const text = lines.toString('utf8', 0, lines.length - 1).split('\n');
  const objects = text.map(
    (line, index) => `${head}${String(Math.min(999_999, micros + index)).padStart(6, '0')}Z","_msg":${JSON.stringify(line)}}\n`,
  );
  return Buffer.from(objects.join(''));
}

/** Rows that a power loss would take. */
async function inMemory(url: string): Promise<number> {
  const metrics = await (await fetch(`${url}/metrics`)).text();
  return Number(/^vl_storage_rows\{type="storage\/inmemory"\} (\d+)$/m.exec(metrics)?.[1] ?? Number.NaN);
}

async function post(url: string, body: Buffer): Promise<void> {
  // Without a type of its own, Go takes the body for a form.
  const answer = await fetch(url, { method: 'POST', body, headers: { 'content-type': 'application/stream+json' } });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`victoria-logs answered ${answer.status}: ${text}`);
}
