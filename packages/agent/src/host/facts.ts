/**
 * What does not change while the agent runs and can be told at once: from /proc, /etc/os-release and node:os. What takes
 * longer, or a library that must not stay in memory, is told by a child: machine-facts.ts.
 */
import type { HostFacts } from '@relight/shared/status';
import { readFileSync } from 'node:fs';
import { providerOf, readDmi } from './cloud/detect.ts';
import { arch, availableParallelism, cpus, release, totalmem } from 'node:os';

/** Engine version and API version are added by who asks the engine. */
export function readHostFacts(root = '/'): HostFacts {
  const os = parseOsRelease(readFirst([`${root}/etc/os-release`, `${root}/usr/lib/os-release`]));
  const model = cpus()[0]?.model.trim();
  return {
    ...(os === undefined ? {} : { os }),
    kernel: release(),
    arch: arch(),
    ...(model === undefined || model === '' ? {} : { cpuModel: model }),
    cloud: providerOf(readDmi(`${root}/sys/class/dmi/id`)) ?? 'none',
    cpuCores: availableParallelism(),
    memoryTotalBytes: totalmem(),
  };
}

/** os-release(5): PRETTY_NAME, else NAME and VERSION_ID. */
export function parseOsRelease(text: string): string | undefined {
  const value = (key: string): string | undefined => {
    const raw = new RegExp(`^${key}=(.*)$`, 'm').exec(text)?.[1]?.trim();
    return raw?.replace(/^(["'])(.*)\1$/, '$2').replaceAll(/\\(["$`\\])/g, '$1');
  };
  const composed = [value('NAME'), value('VERSION_ID')].filter((part) => part !== undefined && part !== '').join(' ');
  return value('PRETTY_NAME') ?? (composed === '' ? undefined : composed);
}

/** A host without the file has no such fact. */
function readFirst(files: readonly string[]): string {
  for (const file of files) {
    try {
      return readFileSync(file, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return '';
}
