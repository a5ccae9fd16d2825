/**
 * rsyslog from Debian, for benches: unpacked beside, never installed, because its package starts a daemon for the whole machine. It takes lines
 * over TCP (imptcp) and appends them to one text file, which is what most hosts do with their logs; a search is grep over that file.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { waitFor } from '../wait.ts';
import { freePort } from '../ports.ts';
import { PeerProcess, type LogPeer } from './peer.ts';

const run = promisify(execFile);
const packages = ['rsyslog', 'libestr0', 'libfastjson4', 'liblognorm5'];
const cache = join(import.meta.dirname, '../../../node_modules/.cache/relight/rsyslog');

/** @throws Error that says why it cannot be had here. */
export async function startRsyslog(directory: string): Promise<LogPeer> {
  await unpack();
  const libraries = join(cache, 'usr/lib/x86_64-linux-gnu');
  const [data, port] = [join(directory, 'rsyslog'), await freePort()];
  const [file, config] = [join(data, 'all.log'), join(directory, 'rsyslog.conf')];
  mkdirSync(data, { recursive: true });
  writeFileSync(file, '');
  writeFileSync(
    config,
    `global(workDirectory="${directory}" maxMessageSize="1m")
module(load="${libraries}/rsyslog/imptcp")
template(name="line" type="string" string="%rawmsg%\\n")
ruleset(name="in") { action(type="omfile" file="${file}" template="line" ioBufferSize="1m" flushOnTXEnd="off") }
input(type="imptcp" port="${port}" address="127.0.0.1" ruleset="in")
`,
  );
  const process = await PeerProcess.start({
    name: 'rsyslogd',
    program: join(cache, 'usr/sbin/rsyslogd'),
    args: ['-n', '-f', config, '-i', join(directory, 'rsyslog.pid'), '-M', join(libraries, 'rsyslog')],
    env: { LD_LIBRARY_PATH: libraries },
    logFile: join(directory, 'rsyslog.log'),
    isUp: () => isListening(port),
  });
  const socket = connect(port, '127.0.0.1');
  let sent = 0;
  return {
    name: 'rsyslog from Debian',
    process,
    directory: data,
    encode: (_, lines) => lines,
    send: (lines) => {
      sent += lines.length;
      return new Promise((resolve, reject) => socket.write(lines, (error) => (error ? reject(error) : resolve())));
    },
    settle: async () => {
      await waitFor(
        () => {
          // It writes what it has gathered when it is asked to open its files anew.
          process.signal('SIGHUP');
          return statSync(file).size >= sent;
        },
        { timeoutMs: 600_000, everyMs: 100, what: 'rsyslog to have written every line' },
      );
      await run('sync', ['-d', file]);
    },
    search: async (word, limit) => {
      // grep ends with 1 when nothing matches.
      const found = await run('grep', ['-a', '-F', '-m', String(limit), '-e', word, file], { maxBuffer: 1 << 28 }).catch(
        (error: { readonly code?: number }) => {
          if (error.code === 1) return { stdout: '' };
          throw error;
        },
      );
      return found.stdout.split('\n').length - 1;
    },
    [Symbol.asyncDispose]: async () => {
      socket.destroy();
      await process[Symbol.asyncDispose]();
    },
  };
}

async function unpack(): Promise<void> {
  if (existsSync(cache)) return;
  const temporary = `${cache}.${process.pid}`;
  mkdirSync(temporary, { recursive: true });
  try {
    await run('apt-get', ['download', ...packages], { cwd: temporary });
    for (const name of readdirSync(temporary).filter((entry) => entry.endsWith('.deb'))) {
      await run('dpkg', ['-x', name, '.'], { cwd: temporary });
      rmSync(join(temporary, name));
    }
    renameSync(temporary, cache);
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true });
    throw new Error('rsyslog cannot be had from Debian here', { cause: error });
  }
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
