import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { basename } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { holderOfPort, programName } from './port-holder.ts';

test.each([
  ['node\0server.js\0', 'MainThread', 'node'],
  ['/usr/bin/python3\0-m\0http.server\0', 'python3', 'python3'],
  ['nginx: master process /usr/sbin/nginx', 'nginx', 'nginx'],
  ['ray::IDLE', 'ray::IDLE', 'ray::IDLE'],
  ['/opt/ray/core/src/ray/gcs/gcs_server\0--port=6379\0', 'gcs_server', 'gcs_server'],
  ['', 'kworker/0:1\n', 'kworker/0:1'],
  ['', '', 'a process'],
])('%j, of which the kernel says %j, is %s', (cmdline, comm, name) => {
  expect(programName(cmdline, comm)).toBe(name);
});

test('a Node program that listens is named, not its thread', async () => {
  const script = "const s = require('node:net').createServer().listen(0, '127.0.0.1', () => console.log(s.address().port))";
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  const [port] = (await once(child.stdout, 'data')) as [Buffer];
  expect(await holderOfPort(Number(port.toString()), 'tcp')).toBe(`${basename(process.execPath)} (pid ${child.pid})`);
});
