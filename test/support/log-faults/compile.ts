/** The programs of this folder, compiled once per state of their source. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ensurePrograms } from '../engine-install.ts';

const cache = join(import.meta.dirname, '../../../node_modules/.cache/relight');

/** Runs in any image. */
export const logWriter = (): Promise<string> => compiled('log-writer.c', ['-static']);

/** For LD_PRELOAD. */
export const powerShim = (): Promise<string> => compiled('power-shim.c', ['-shared', '-fPIC'], ['-ldl', '-lpthread']);

async function compiled(name: string, flags: readonly string[], libraries: readonly string[] = []): Promise<string> {
  const source = join(import.meta.dirname, name);
  const digest = createHash('sha256').update(readFileSync(source)).digest('hex').slice(0, 16);
  const program = join(cache, `${name}-${digest}`);
  if (existsSync(program)) return program;
  await ensurePrograms(['gcc']);
  mkdirSync(cache, { recursive: true });
  const temporary = `${program}.${process.pid}`;
  await promisify(execFile)('gcc', ['-O2', '-Wall', ...flags, '-o', temporary, source, ...libraries]);
  renameSync(temporary, program);
  return program;
}
