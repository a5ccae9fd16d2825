/** The data directory of commands that work beside the service. */
import { RelightError } from '@relight/shared/errors';
import { existsSync } from 'node:fs';
import { databasePath, mustBeEnterable } from '../store/database.ts';
import { dataDirBeside } from './load-config.ts';

export interface DataDirFlag {
  readonly dataDir?: string;
}

/** An answer out of a directory made this moment would hide that --data-dir is wrong. */
export function existingDataDir(flags: DataDirFlag): string {
  const dataDir = dataDirBeside(flags);
  mustBeEnterable(dataDir);
  if (existsSync(databasePath(dataDir))) return dataDir;
  throw new RelightError('config-unreadable', `the data directory ${dataDir} cannot be used: it holds no data of a collector`, {
    advice: 'Give the data directory of the service: --data-dir, or RELIGHT_COLLECTOR_DATA_DIR.',
  });
}
