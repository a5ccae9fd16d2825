/** Debian as a root file system. */
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { ensurePrograms } from '../engine-install.ts';
import { unmountBelow } from '../mounts.ts';
import { persistently } from '../persistently.ts';
import { tool } from './tool.ts';

interface Wanted {
  readonly suite: string;
  /** A directory that is not there yet. */
  readonly root: string;
  readonly packages: readonly string[];
}

/** By itself wget waits a quarter of an hour for one word, and takes a refused connection or a 503 for the last one. */
const wget = `timeout = 30
tries = 5
waitretry = 5
retry_connrefused = on
retry_on_http_error = 429,500,502,503,504
`;

export async function debootstrap({ suite, root, packages }: Wanted): Promise<void> {
  await ensurePrograms(['debootstrap'], 'building a root file system');
  await persistently(`debootstrap ${suite}`, async () => {
    // One that has failed half way leaves mounts in it, and cannot go on there.
    const attempt = await mkdtemp(join(dirname(root), 'debootstrap-'));
    try {
      const settings = join(attempt, 'wgetrc');
      // Behind what a person has set: a proxy.
      const { WGETRC: own = join(homedir(), '.wgetrc') } = process.env;
      await writeFile(settings, `${await readFile(own, 'utf8').catch(() => '')}\n${wget}`);
      const made = join(attempt, 'root');
      const args = ['--variant=minbase', `--include=${packages.join(',')}`, suite, made];
      await tool('debootstrap', args, { env: { ...process.env, WGETRC: settings } });
      await rename(made, root);
    } finally {
      unmountBelow(attempt);
      await rm(attempt, { recursive: true, force: true });
    }
  });
}
