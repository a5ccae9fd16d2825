/** A server refuses the credentials that the process shows it: held with its words, and on again as soon as the token is mended. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { ApiIncident } from '@relight/shared/api';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { at, Bystander } from '../support/bystander.ts';
import { startLab, type Lab } from '../support/lab.ts';
import { eventually } from '../support/wait.ts';

let lab: Lab;
let server: Server;
/** By the clock that the agent has, too. */
const asked: { readonly at: number; readonly authorization: string | undefined }[] = [];

beforeAll(async () => {
  lab = await startLab({ engineSocket: inject('engineSocket') });
  server = createServer(({ headers: { authorization } }, response) => {
    asked.push({ at: Date.now(), authorization });
    response.writeHead(authorization === 'Bearer right' ? 200 : 401, { 'www-authenticate': 'Bearer' }).end('hello\n');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(async () => {
  server?.close();
  await lab?.dispose();
});

test('401: tried once more with what the file holds then, held with what to do, and ready when the token is right', async () => {
  const secrets = join(lab.directory, 'secrets');
  mkdirSync(secrets);
  writeFileSync(join(secrets, 'token'), 'wrong');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/join`;
  const worker = await Bystander.start(lab, 'refused', inject('engineImage'), {
    container: { network_mode: 'host', volumes: [`${secrets}:/secrets:ro`], environment: { TOKEN_FILE: '/secrets/token' } },
    process: {
      run: `wget -q -O - --header "Authorization: Bearer $(cat "$TOKEN_FILE")" ${url} || exit 1; touch /tmp/joined; exec sleep 100000`,
      stop_timeout: '1s',
    },
    ready: [{ exec: 'test -e /tmp/joined', interval: '200ms' }],
  });
  try {
    const held = await worker.next(0, 'workload.held');
    expect(held).toMatchObject({ data: { code: 'auth-failed', level: 'process' } });
    expect(held.message).toMatch(/401 Unauthorized.*Correct the token or secret/);
    // It is tried again while it is held, but later: the word of it may take as long to come here.
    expect(asked.filter((request) => request.at <= at(held)).map(({ authorization }) => authorization)).toEqual([
      'Bearer wrong',
      'Bearer wrong',
    ]);
    await eventually(
      async () => {
        const { items } = await lab.fleet.api.list<ApiIncident>('incidents', { host: worker.agent.host });
        expect(items).toMatchObject([{ code: 'auth-failed', cause: expect.stringContaining('401 Unauthorized') as string }]);
      },
      { what: 'the incident with its cause' },
    );
    const mendedAt = Date.now();
    writeFileSync(join(secrets, 'token'), 'right');
    const ready = await worker.next(Number(held.id), 'workload.ready');
    expect(at(ready) - mendedAt).toBeLessThan(10_000);
    expect(asked.at(-1)?.authorization).toBe('Bearer right');
  } finally {
    await worker.agent.service.stop();
  }
});
