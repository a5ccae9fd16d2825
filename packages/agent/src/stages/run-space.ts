/** Whether a run that left no status could have left one: on a full disk its wrapper's last word is lost. */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** True: the directory takes not one byte more. Whatever else is wrong with it is somebody else's finding. */
export async function lacksSpace(directory: string): Promise<boolean> {
  const file = join(directory, '.space');
  try {
    await writeFile(file, 'x', { mode: 0o600 });
    return false;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'ENOSPC' || code === 'EDQUOT';
  } finally {
    await rm(file, { force: true }).catch(() => undefined);
  }
}
