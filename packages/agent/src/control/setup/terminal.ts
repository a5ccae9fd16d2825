/** Questions on the terminal. They go to stderr: stdout may be a file. */
import { createInterface } from 'node:readline';
import { columnsOf, fold } from '@relight/shared/text-columns';
import { Interrupted, type Asker } from './answers.ts';

/**
 * Null: nobody is there to answer. Between two questions the terminal is as it was, so that Ctrl-C also ends what is waited for then,
 * such as a collector that does not answer.
 */
export function terminalAsker(input: NodeJS.ReadStream = process.stdin, output: NodeJS.WriteStream = process.stderr): Asker | null {
  if (!input.isTTY || !output.isTTY) return null;
  return {
    ask: (question) =>
      new Promise((resolve, reject) => {
        const lines = createInterface({ input, output, terminal: true, historySize: 0 });
        lines.once('SIGINT', () => lines.close());
        // Ctrl-C, and the end of the input: Ctrl-D, a terminal that is closed. After an answer it says nothing new.
        lines.once('close', () => reject(new Interrupted()));
        lines.question(folded(question, columnsOf(output)), (answer) => {
          resolve(answer);
          lines.close();
        });
      }),
  };
}

/** The answer begins behind the blank at its end. */
const folded = (question: string, columns: number | null): string => fold(question.trimEnd(), columns) + (/\s*$/.exec(question)?.[0] ?? '');
