/** `relight-collector backup DIR`: beside the running service. */
import { formatBytes } from '@relight/shared/units';
import type { Command } from 'commander';
import { backupStore } from '../store/backup.ts';
import { existingDataDir, type DataDirFlag } from './data-dir.ts';

export function addBackup(program: Command): void {
  program
    .command('backup <dir>')
    .description('copy everything that is stored to a new directory, also while the service runs')
    .option('--data-dir <dir>', 'where the store lives')
    .action((directory: string, flags: DataDirFlag) => {
      const { files, bytes } = backupStore(existingDataDir(flags), directory);
      process.stdout.write(`${directory}: ${files} files, ${formatBytes(bytes)}\n`);
    });
}
