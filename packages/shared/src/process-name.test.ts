import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import { nameProcess } from './process-name.ts';

test('a process has the name that people look for, and its arguments as they were given', async () => {
  const module = pathToFileURL(new URL('process-name.ts', import.meta.url).pathname).href;
  const code = `const { nameProcess } = await import('${module}'); nameProcess('relight-agent'); process.stdout.write('x'); setInterval(() => {}, 1e6)`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code, 'run', '--config', '/etc/relight/agent.yaml']);
  try {
    await once(child.stdout, 'data');
    expect(readFileSync(`/proc/${child.pid}/comm`, 'utf8')).toBe('relight-agent\n');
    expect(readFileSync(`/proc/${child.pid}/cmdline`, 'utf8')).toMatch(/\0run\0--config\0\/etc\/relight\/agent\.yaml\0$/);
  } finally {
    child.kill('SIGKILL');
  }
});

test('where it cannot be said, it is not', () => {
  expect(() => nameProcess('relight', '/proc/self/none')).not.toThrow();
});
