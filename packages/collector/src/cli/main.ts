/** Entry point of `relight`, the operator's command. */
import { nameProcess } from '@relight/shared/process-name';
import { version } from '@relight/shared/version';
import { outputFailed, processIo } from './io.ts';
import { runCli } from './program.ts';

nameProcess('relight');
const stop = new AbortController();

// The first signal ends the command in order; a second one finds no handler and ends the process at once.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
// `relight tail | head` is not an error: the reader has what it wanted.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  outputFailed('relight', error);
  stop.abort();
});

// Timers of the clock do not keep the process alive, and a wait may have nothing else.
const alive = setInterval(() => {}, 2 ** 30);
try {
  process.exitCode = await runCli(process.argv.slice(2), processIo(stop.signal), version);
} finally {
  clearInterval(alive);
}
