/**
 * The collector's process. Started as the writing thread of its own store or as a thread that reads logs (one bundle is all of
 * them), it does only that; the rest is loaded by the main thread alone.
 */
import { nameProcess } from '@relight/shared/process-name';
import { isMainThread } from 'node:worker_threads';
import './logs/reader-worker.ts';
import './store/logs/maintenance-worker.ts';
import './store/writer-worker.ts';

if (isMainThread) {
  nameProcess('relight-collector');
  const { runProgram } = await import('./program.ts');
  process.exitCode = await runProgram(process.argv);
}
