/** The configuration that the service reads, for itself and for the commands beside it. */
import { configBytesMax, readBoundedSync, textOf } from '@relight/shared/bounded-read';
import { RelightError, errorMessage } from '@relight/shared/errors';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { overridesFromEnvironment, readConfig, type CollectorConfig } from '../config.ts';

export interface ConfigFlags {
  readonly config?: string;
  readonly listen?: string;
  readonly dataDir?: string;
}

/** What the installed service is started with. */
export const usualConfig = '/etc/relight/collector.yaml';

export function loadConfig(flags: ConfigFlags): CollectorConfig {
  return readConfig(flags.config === undefined ? null : readSource(flags.config), [
    overridesFromEnvironment(process.env),
    { listen: flags.listen, dataDir: flags.dataDir },
  ]);
}

/**
 * Without --config that of the installed service, unless another data directory is named: then it is about another collector. Else
 * these commands would work on a directory, and print the fingerprint of a certificate, that nobody serves.
 */
export function configBeside(flags: ConfigFlags, usual = usualConfig): CollectorConfig {
  const file = fileBeside(flags, usual);
  return loadConfig(file === undefined ? flags : { ...flags, config: file });
}

/** Which file that is; undefined: none, the defaults hold. */
export function fileBeside(flags: ConfigFlags, usual = usualConfig): string | undefined {
  if (flags.config !== undefined || !existsSync(usual)) return flags.config;
  const asked = flags.dataDir ?? overridesFromEnvironment(process.env).dataDir;
  if (asked === undefined) return usual;
  return resolve(asked) === resolve(readConfig(readSource(usual)).dataDir) ? usual : undefined;
}

/** The same for commands to which only the directory matters: one that is named needs no configuration, not even one that can be read. */
export function dataDirBeside(flags: Pick<ConfigFlags, 'dataDir'>, usual = usualConfig): string {
  const asked = flags.dataDir ?? overridesFromEnvironment(process.env).dataDir;
  return asked === undefined ? configBeside({}, usual).dataDir : readConfig(null, [{ dataDir: asked }]).dataDir;
}

function readSource(file: string): { file: string; text: string } {
  try {
    return { file, text: textOf(readBoundedSync(file, configBytesMax)) };
  } catch (cause) {
    throw new RelightError('config-unreadable', `${file} cannot be read: ${errorMessage(cause)}`, { cause });
  }
}
