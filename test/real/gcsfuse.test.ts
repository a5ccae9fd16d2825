/** Real gcsfuse: what it says when it cannot work, and what Relight makes of it. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { Bystander, type WorkloadDocument } from '../support/bystander.ts';
import { dockerApi } from '../support/docker-api.ts';
import { type Lab, startLab } from '../support/lab.ts';
import { bucket, type Emulator, onlyDir, startEmulator } from '../support/real/emulator.ts';
import { type NetworkHolder, startNetworkHolder } from '../support/real/network-holder.ts';
import { containerOptions, mountPoint } from '../support/real/ray-cluster.ts';
import { listProcesses } from '../support/processes.ts';
import { waitFor } from '../support/wait.ts';

const { image, emulator: program } = inject('realParts');
const docker = dockerApi(inject('engineSocket'));
let lab: Lab;
let machine: NetworkHolder;
let emulator: Emulator;
beforeAll(async () => {
  lab = await startLab({ engineSocket: inject('engineSocket') });
  machine = await startNetworkHolder(docker, `gcs-${process.pid}`, image);
  emulator = await startEmulator(program, gateway());
});
afterAll(async () => {
  await emulator?.[Symbol.asyncDispose]();
  await lab?.dispose();
  if (machine !== undefined) await docker.remove(machine.name);
});

/** Where containers reach this machine. */
const gateway = (): string => machine.address.replace(/\d+$/, '1');

const document = (mount: Readonly<Record<string, unknown>>, { container, ...more }: WorkloadDocument = {}): WorkloadDocument => ({
  container: { ...containerOptions, network_mode: machine.mode, ...container },
  mounts: [{ name: 'bucket', type: 'gcsfuse', bucket, target: mountPoint, options: emulator.options, timeout: '20s', ...mount }],
  process: { run: 'exec sleep infinity' },
  ready: [{ exec: `test -e ${mountPoint}/marker`, interval: '200ms' }],
  ...more,
});

async function withWorker<T>(name: string, wanted: WorkloadDocument, body: (worker: Bystander) => Promise<T>): Promise<T> {
  const worker = await Bystander.start(lab, name, image, wanted);
  try {
    return await body(worker);
  } finally {
    await worker.agent.service.stop();
    await docker.remove(worker.containerName).catch(() => {});
  }
}

interface Held {
  readonly code: unknown;
  readonly message: string;
  /** How often it was tried again before. */
  readonly tries: number;
}

/** Waits until the workload is held; the reason is for a person. */
function held(name: string, wanted: WorkloadDocument): Promise<Held> {
  return withWorker(name, wanted, async (worker) => {
    const { data, message } = await worker.next(0, 'workload.held', undefined, 120_000);
    return { code: data['code'], message, tries: (await worker.events()).filter(({ kind }) => kind === 'restart.scheduled').length };
  });
}

const because = (code: string, words: RegExp): unknown => ({ code, message: expect.stringMatching(words) as unknown, tries: 0 });

test('runs in the foreground with its flags, and shows the directory of the bucket', () =>
  withWorker('gcs-flags', document({ only_dir: onlyDir, implicit_dirs: true }), async (worker) => {
    await worker.phase('ready');
    const { id } = await worker.container();
    const daemon = listProcesses().find(({ cgroup, cmdline }) => cgroup.includes(id) && cmdline[0] === 'gcsfuse');
    expect(daemon?.cmdline.slice(1, 5)).toEqual(['--foreground', '--implicit-dirs', '--only-dir', onlyDir]);
    expect(await worker.exec('cat', `${mountPoint}/marker`)).toBe('content\n');
  }));

describe('what only a person can mend is held at once', () => {
  test.each([true, false])('an unknown bucket, which it mounts all the same (implicit_dirs: %s)', async (implicit) => {
    const wanted = document({ bucket: 'nosuch', implicit_dirs: implicit });
    expect(await held(`gcs-unknown-${implicit}`, wanted)).toEqual(because('bucket-unknown', /bucket doesn't exist/));
  });

  test('a key file that is not there', async () => {
    const wanted = document({ options: ['--key-file', '/etc/gcs/key.json'] });
    expect(await held('gcs-no-key', wanted)).toEqual(because('credentials-rejected', /key\.json: no such file/));
  });

  test('no credentials at all', async () => {
    const wanted = document({ options: emulator.options.slice(1) });
    expect(await held('gcs-no-credentials', wanted)).toEqual(because('credentials-rejected', /could not find default credentials/));
  });

  test.each([
    [403, 'worker@project.iam.gserviceaccount.com does not have storage.objects.list access to the Google Cloud Storage bucket.'],
    [401, 'Invalid Credentials'],
  ])('credentials that the bucket refuses with %s, after it was mounted', async (code, message) => {
    const error = { code, message, errors: [{ message, domain: 'global', reason: 'forbidden' }] };
    const server = createServer((request, response) => {
      request.resume();
      response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify({ error }));
    });
    await new Promise<void>((resolve) => server.listen(0, gateway(), resolve));
    const endpoint = `http://${gateway()}:${(server.address() as AddressInfo).port}/storage/v1/`;
    try {
      const wanted = document({ options: ['--anonymous-access', '--custom-endpoint', endpoint] });
      expect(await held(`gcs-${code}`, wanted)).toEqual(because('credentials-rejected', new RegExp(`Error ${code}`)));
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  test('no /dev/fuse in the container', async () => {
    const wanted = document({}, { container: { devices: [] } });
    expect(await held('gcs-no-device', wanted)).toEqual(because('fuse-missing', /fuse device not found/));
  });

  test('no right to mount', async () => {
    const wanted = document({}, { container: { cap_add: [] } });
    expect(await held('gcs-no-right', wanted)).toEqual(because('fuse-missing', /mount failed: Operation not permitted/));
  });
});

test("a bucket that is silent for a while is nobody's mistake: it is waited for", () =>
  withWorker(
    'gcs-silent',
    document({ only_dir: onlyDir }, { ready: [{ exec: `test -e ${mountPoint}/marker`, interval: '200ms', timeout: '3s' }] }),
    async (worker) => {
      await worker.phase('ready');
      emulator.freeze();
      try {
        const mark = await worker.mark();
        await docker.kill(worker.containerName);
        await worker.next(mark, 'mount.mounted');
        expect(await worker.kindsSince(mark)).not.toContain('workload.held');
        emulator.thaw();
        await worker.next(mark, 'workload.ready', undefined, 120_000);
        expect(await worker.kindsSince(mark)).not.toContain('workload.held');
      } finally {
        emulator.thaw();
      }
    },
  ));

describe('no space where gcsfuse stages what is changed', () => {
  const staging: WorkloadDocument = { container: { tmpfs: ['/staging:size=2m'] } };
  const options = (): readonly string[] => [...emulator.options, '--temp-dir', '/staging'];
  /** A whole file is uploaded as it comes; one that is changed in place is staged as a whole, here 8 MB. */
  const checkpoint = `${mountPoint}/checkpoint`;
  const write = `dd if=/dev/zero of=${checkpoint} bs=64k count=128 status=none`;
  const change = `dd if=/dev/zero of=${checkpoint} bs=64k count=128 seek=1 conv=notrunc status=none`;

  test('the process that writes is held, with where and what to do; the mount is none the worse', () => {
    // Not at once: the readiness checks have passed before.
    const run = `sleep 1; ${write} || exit 3; ${change} || exit 4; exec sleep infinity`;
    return withWorker('gcs-staging', document({ options: options() }, { ...staging, process: { run } }), async (worker) => {
      const { data, message } = await worker.next(0, 'workload.held', undefined, 90_000);
      expect(data).toMatchObject({ code: 'disk-full' });
      expect(message).toContain(`'${checkpoint}': No space left on device`);
      const { stdout } = await waitFor(
        async () => {
          const shown = await lab.relight('incidents', String(data['incident']));
          return shown.stdout.includes('workload.held') && shown;
        },
        { what: 'the incident to have come' },
      );
      expect(stdout).toMatch(/^CAUSE +process exited with code 4: .*No space left on device/m);
      expect(stdout).toMatch(/^you +gcsfuse stages what is changed in \/opt\/gcsfuse_mount in \/staging of the container/m);
      // What it has staged is gone with the file, and the bucket has what it had.
      expect(await worker.exec('stat', '-c', '%s', checkpoint)).toBe(`${8 * 1024 ** 2}\n`);
      expect((await worker.kindsSince(0)).filter((kind) => kind === 'mount.lost' || kind === 'mount.hung')).toEqual([]);
    });
  });
});
