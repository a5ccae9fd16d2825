/** `relight-collector verify`: reads everything, beside the running service or without one. */
import type { Command } from 'commander';
import { verifyStore, type VerifiedFile } from '../store/verify.ts';
import { existingDataDir, type DataDirFlag } from './data-dir.ts';

export function addVerify(program: Command, exitWith: (code: 1) => void): void {
  program
    .command('verify')
    .description('read everything that is stored, and say what of it is damaged')
    .option('--data-dir <dir>', 'where the store lives')
    .action((flags: DataDirFlag) => {
      const damaged: string[] = [];
      for (const { file, pieces, lines, problems } of verifyStore(existingDataDir(flags))) {
        if (problems.length > 0) damaged.push(file);
        process.stdout.write(rows({ file, pieces, lines, problems }));
      }
      if (damaged.length === 0) return;
      process.stderr.write(`relight-collector: ${damaged.length} damaged\n${adviceFor(damaged)}\n`);
      exitWith(1);
    });
}

/** One line a kind of damage: a backup may be wanted for the database, and its newest day of logs may be as damaged. */
function adviceFor(damaged: readonly string[]): string {
  const logs = damaged.filter(isLogFile);
  const lines = [
    ...(logs.length === damaged.length ? [] : ['Go on from a backup: see "Restore" in docs/operations.md.']),
    ...(logs.length === 0 ? [] : ['A damaged log file loses itself alone: see "A damaged log file" in docs/operations.md.']),
  ];
  return lines.join('\n');
}

const isLogFile = (file: string): boolean => file.startsWith('logs/');

function rows({ file, pieces, lines, problems }: VerifiedFile): string {
  const holds = isLogFile(file) ? `  ${pieces} pieces, ${lines} lines` : '';
  const state = problems.length === 0 ? 'ok' : 'DAMAGED';
  return `${file.padEnd(32)}  ${state}${holds}\n${problems.map((problem) => `    ${problem}\n`).join('')}`;
}
