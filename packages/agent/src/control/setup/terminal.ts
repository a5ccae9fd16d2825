/** Questions on the terminal. They go to stderr: stdout may be a file. */
import { createInterface } from 'node:readline';
import { Interrupted, type Asker } from './answers.ts';

/** Null: nobody is there to answer. */
export function terminalAsker(input: NodeJS.ReadStream = process.stdin, output: NodeJS.WriteStream = process.stderr): Asker | null {
  if (!input.isTTY || !output.isTTY) return null;
  const lines = createInterface({ input, output, terminal: true, historySize: 0 });
  const gone = new AbortController();
  // Ctrl-C, and the end of the input (Ctrl-D, a terminal that is closed).
  lines.on('SIGINT', () => lines.close());
  lines.once('close', () => gone.abort());
  return {
    ask: (question) =>
      new Promise((resolve, reject) => {
        if (gone.signal.aborted) return reject(new Interrupted());
        const leave = (): void => reject(new Interrupted());
        gone.signal.addEventListener('abort', leave, { once: true });
        lines.question(question, (answer) => {
          gone.signal.removeEventListener('abort', leave);
          resolve(answer);
        });
      }),
    close: () => lines.close(),
  };
}
