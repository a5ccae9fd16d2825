/** `logs.files`: files inside a real container, arranged by somebody who means harm, and as Ray arranges them. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ApiLogEntry } from '@relight/shared/api';
import { afterAll, beforeAll, expect, inject, onTestFinished, test } from 'vitest';
import { Bystander, type WorkloadDocument } from '../support/bystander.ts';
import { startLab, type Lab } from '../support/lab.ts';
import { eventually, waitFor } from '../support/wait.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await startLab({ engineSocket: inject('engineSocket') });
});
afterAll(() => lab?.dispose());

async function running(name: string, files: readonly string[], container: WorkloadDocument = {}): Promise<Bystander> {
  const document = { container, process: { run: 'exec sleep 1000000', stop_timeout: '500ms' }, logs: { files } };
  const worker = await Bystander.ready(lab, name, inject('engineImage'), document);
  onTestFinished(() => worker.agent.service.stop());
  return worker;
}

/** Of all files, as `source|line`, gaps as `source|gap`. */
async function fileLines(host: string): Promise<readonly string[]> {
  const entries = (await lab.fleet.logs({ host, limit: 10_000 })) as readonly (ApiLogEntry & { readonly source: string })[];
  return entries
    .filter(({ source }) => source.startsWith('file:'))
    .map((entry) => `${entry.source}|${'line' in entry ? entry.line : 'gap'}`);
}

const arrives = (host: string, ...lines: readonly string[]): Promise<void> =>
  eventually(async () => expect(await fileLines(host)).toEqual(expect.arrayContaining([...lines])), {
    what: lines.join(', '),
    // A look that a busy machine makes long is followed by a long rest.
    timeoutMs: 120_000,
  });
const sh = (worker: Bystander, script: string): Promise<string> => worker.exec('sh', '-c', script);

test('the logs of Ray: sessions change, files appear, are rotated by renaming, truncated and deleted, in an image and on a volume', async () => {
  const volume = join(lab.directory, 'ray-volume');
  mkdirSync(volume);
  const worker = await running('log-ray', ['/tmp/ray/session_latest/logs/raylet.*', '/volume/*/out'], { volumes: [`${volume}:/volume`] });
  await sh(
    worker,
    'mkdir -p /tmp/ray/session_1/logs && cd /tmp/ray && ln -sfn session_1 session_latest && echo one > session_1/logs/raylet.out',
  );
  await sh(worker, 'mkdir -p /volume/node-1 && echo of the volume > /volume/node-1/out');
  await arrives('log-ray', 'file:raylet.out|one', 'file:node-1/out|of the volume');
  // Rotation: the old file goes on under its first name, the new one is another segment of the same stream.
  await sh(worker, 'cd /tmp/ray/session_latest/logs && mv raylet.out raylet.out.1 && echo two > raylet.out && echo late >> raylet.out.1');
  await arrives('log-ray', 'file:raylet.out|two', 'file:raylet.out|late');
  await sh(worker, 'cd /tmp/ray/session_latest/logs && : > raylet.out && echo after the truncation >> raylet.out');
  await arrives('log-ray', 'file:raylet.out|after the truncation');
  await sh(worker, 'cd /tmp/ray && mkdir -p session_2/logs && echo three > session_2/logs/raylet.out && ln -sfn session_2 session_latest');
  await arrives('log-ray', 'file:raylet.out|three');
  // Deleted while somebody writes: read to its end through the descriptor.
  const writer = sh(
    worker,
    `cd /tmp/ray/session_2/logs; exec 3>> raylet.err; echo begun >&3; until rm /tmp/found; do sleep 0.1; done 2> /dev/null
     rm raylet.err; echo last words >&3`,
  );
  await arrives('log-ray', 'file:raylet.err|begun');
  await sh(worker, 'touch /tmp/found');
  await writer;
  await arrives('log-ray', 'file:raylet.err|last words');
  // A new agent knows every file again, also the renamed one, and doubles nothing.
  await worker.agent.service.kill();
  await sh(worker, 'echo while it was away >> /tmp/ray/session_2/logs/raylet.out');
  await worker.agent.service.start();
  await arrives('log-ray', 'file:raylet.out|while it was away');
  await sh(worker, 'cd /tmp/ray/session_2/logs && mv raylet.out raylet.out.1 && echo four > raylet.out');
  await arrives('log-ray', 'file:raylet.out|four');
  const lines = (await fileLines('log-ray')).filter((line) => !line.endsWith('|gap'));
  expect(lines.toSorted()).toEqual([...new Set(lines)].toSorted());
});

test('nothing of the host is ever shipped, whatever links, FIFOs, devices and circles lie there', async () => {
  const secret = join(lab.directory, 'secret-of-the-host');
  writeFileSync(secret, 'SECRET-OF-THE-HOST\n');
  const worker = await running('log-hostile', ['/logs/*', '/logs/*/*', '/linked/*']);
  await sh(worker, 'echo SHADOW-OF-THE-CONTAINER > /etc/shadow');
  await sh(
    worker,
    `mkdir -p /logs/deep /real && cd /logs
     ln -s ${secret} absolute; ln -s ../../../../../../../../../../..${secret} relative
     ln -s /etc/shadow shadow; ln -s ../../../../../../../../etc/shadow shadow-relative
     ln -s /proc/1/root/etc/shadow by-proc; ln -s /proc/self/fd/0 descriptor; ln -s / root; ln -s . circle; ln -s b a; ln -s a b
     ln -s /logs/circle/circle/circle/circle deep/back
     mkfifo fifo; mknod null c 1 3; mknod zero c 1 5; mknod disk b 7 0 || true
     ln -s ${lab.directory} /linked
     echo honest > honest`,
  );
  // Two names of one file are one file, and it has the first that it is found by: one that appears in the middle of a look is found in the
  // circle first.
  const isShown = (line: RegExp): Promise<unknown> =>
    waitFor(async () => (await fileLines('log-hostile')).some((shown) => line.test(shown)), { what: String(line), timeoutMs: 120_000 });
  await isShown(/^file:(?:circle\/)?honest\|honest$/);
  await isShown(/^file:(?:circle\/)?shadow(?:-relative)?\|SHADOW-OF-THE-CONTAINER$/);
  // For several looks swapped all the time between a file and links to the host's, and between a directory and a link.
  await sh(
    worker,
    `cd /logs; (sleep 6; touch /tmp/enough) & until [ -e /tmp/enough ]; do ln -sfn ${secret} swap; rm swap; echo mine > swap; rm swap
     ln -sfn ${lab.directory} swapped; rm swapped; mkdir swapped; echo mine > swapped/secret-of-the-host; rm -r swapped; done; echo done > done`,
  );
  await isShown(/^file:(?:circle\/)?done\|done$/);
  await worker.agent.service.stop();
  const lines = await fileLines('log-hostile');
  expect(lines.join('\n')).not.toContain('SECRET-OF-THE-HOST');
  expect(lines.filter((line) => /\w+:[^:]*:\d+:/.test(line.split('|')[1] ?? ''))).toEqual([]);
  for (const once of ['SHADOW', '|honest', '|done']) expect(lines.filter((line) => line.includes(once))).toHaveLength(1);
});

test('a FUSE mount that hangs costs nothing but its own files: the agent goes on, and says what it leaves out', async () => {
  const worker = await running('log-fuse', ['/logs/*.log', '/logs/*/x.log'], {
    cap_add: ['SYS_ADMIN'],
    devices: ['/dev/fuse'],
    security_opt: ['apparmor=unconfined'],
  });
  await sh(worker, 'mkdir -p /logs/mute && echo before > /logs/a.log');
  await arrives('log-fuse', 'file:a.log|before');
  const mark = await worker.mark();
  await sh(
    worker,
    'setsid fuse-mute --mute /logs/mute > /dev/null 2>&1 & while ! grep -q " /logs/mute fuse" /proc/mounts; do sleep 0.05; done; ln -s /logs/mute/x /logs/l.log',
  );
  const told = await worker.next(mark, 'log.gap');
  expect(told).toMatchObject({ data: { reason: 'unreadable-files' } });
  expect(told.message).toContain('/logs/mute lies on a file system of type fuse');
  await sh(worker, 'echo after >> /logs/a.log; echo new > /logs/b.log');
  await arrives('log-fuse', 'file:a.log|after', 'file:b.log|new');
  expect((await worker.control.status()).agentId).toEqual(expect.any(String));
  await waitFor(async () => (await worker.events()).filter(({ kind }) => kind === 'log.gap').length === 1, { what: 'it to be told once' });
});
