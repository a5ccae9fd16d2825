/** A GCS emulator as a process of this machine, with one bucket: `team`, in it `shared/marker`. */
import { spawn } from 'node:child_process';
import { findProgram } from '../engine-install.ts';
import { freePort } from '../ports.ts';
import { waitFor } from '../wait.ts';

export const bucket = 'team';
export const onlyDir = 'shared';

export interface Emulator extends AsyncDisposable {
  /** What gcsfuse needs to use it. */
  readonly options: readonly string[];
  freeze(): void;
  thaw(): void;
}

/** `address`: where containers reach this machine. */
export async function startEmulator(program: string, address: string): Promise<Emulator> {
  const port = await freePort(address);
  const url = `http://${address}:${port}`;
  const child = spawn(
    findProgram('setpriv') ?? 'setpriv',
    [
      '--pdeathsig',
      'KILL',
      program,
      '-backend',
      'memory',
      '-scheme',
      'http',
      '-host',
      address,
      '-port',
      String(port),
      '-external-url',
      url,
      '-public-host',
      `${address}:${port}`,
    ],
    { stdio: 'ignore' },
  );
  let gone = false;
  child.once('exit', () => (gone = true));
  await waitFor(
    async () => {
      if (gone) throw new Error(`${program} ended with ${child.exitCode ?? child.signalCode}`);
      return (await fetch(`${url}/storage/v1/b`).catch(() => null))?.ok === true;
    },
    { timeoutMs: 20_000, what: 'the GCS emulator to answer' },
  );
  const headers = { 'content-type': 'application/json' };
  await expectOk(fetch(`${url}/storage/v1/b?project=test`, { method: 'POST', headers, body: JSON.stringify({ name: bucket }) }));
  await expectOk(
    fetch(`${url}/upload/storage/v1/b/${bucket}/o?uploadType=media&name=${onlyDir}/marker`, { method: 'POST', body: 'content\n' }),
  );
  return {
    options: ['--anonymous-access', '--custom-endpoint', `${url}/storage/v1/`],
    freeze: () => void child.kill('SIGSTOP'),
    thaw: () => void child.kill('SIGCONT'),
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL');
      await waitFor(() => gone, { what: 'the GCS emulator to end' });
    },
  };
}

async function expectOk(asked: Promise<Response>): Promise<void> {
  const response = await asked;
  if (!response.ok) throw new Error(`the GCS emulator answered ${response.status}: ${await response.text()}`);
}
