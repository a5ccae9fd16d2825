/** Entry point of `relight-agent`. */
import './control/v8-flags.ts';
import './control/early-hangup.ts';
import { runCli } from './control/cli.ts';
import { processIo } from './control/io.ts';
import { nameProcess } from '@relight/shared/process-name';

nameProcess('relight-agent');

// `relight-agent status | head` is not an error, and a service whose log reader has gone must go on without it.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}

const args = process.argv.slice(2);
process.exitCode = await runCli(args, processIo);
// A service that has stopped must end, even with a probe still stuck in the kernel. Listings end by themselves, all written.
if (args[0] === 'run') process.exit();
