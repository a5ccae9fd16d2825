/** `setup` where it is not the first time: a line that was refused, a host that Relight has kept before. */
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { managedLabels } from '../engine/create-options.ts';
import { temporaryDirectory } from './recorded-io.ts';
import { load, setup, withEngine } from './setup-command.test-data.ts';

describe('setup', () => {
  it('asks a person again for the line that a collector has refused, so often; other flags fail as they are', async () => {
    const tokens: string[] = [];
    const server = createServer((request, response) => {
      const token = (request.headers.authorization ?? '').replace('Bearer ', '');
      tokens.push(token);
      const credential = { token: 'rla_x', tokenId: 't', host: 'tpu-0', issuedAt: 1, expiresAt: 2 };
      const problem = { code: 'unauthorized', detail: 'the join token is used up', advice: 'Make another one.' };
      const [status, body] = token === 'rlj_right' ? [201, credential] : [401, problem];
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const [wrong, right] = [`${url} rlj_wrong`, `relight-agent join ${url} rlj_right`];
    const corrected = temporaryDirectory();
    const { asked, out } = await setup(corrected, {}, ['none', wrong, '', right], withEngine());
    expect(asked[3]).toMatch(/the join token is used up\n +Make another one\.\n.*or none \[none\]: $/);
    expect(out).toContain(`tpu-0 has joined ${url}`);
    expect(readdirSync(corrected)).toContain('agent.yaml');

    // Given up: the host is set up, and works alone.
    const alone = temporaryDirectory();
    await setup(alone, {}, ['none', wrong, '', 'none'], withEngine());
    expect(readFileSync(join(alone, 'agent.yaml'), 'utf8')).not.toContain(url);

    tokens.length = 0;
    const refused = temporaryDirectory();
    await expect(setup(refused, {}, ['none', wrong, '', wrong, wrong, wrong, right], withEngine())).rejects.toMatchObject({
      code: 'unauthorized',
    });
    expect(tokens).toEqual(Array.from({ length: 4 }, () => 'rlj_wrong'));
    // Not asked, but given: a script must hear of it by the exit code, also at a terminal.
    const flags = { collector: url, joinToken: 'rlj_wrong', workloads: false, host: 'h' } as const;
    await expect(setup(refused, flags, [right], withEngine())).rejects.toMatchObject({ code: 'unauthorized' });
    expect(readdirSync(refused)).toEqual([]);
    server.close();
  });

  it('says what becomes of a container that Relight made in an earlier life of this host', async () => {
    const labels = { [managedLabels.agent]: 'me', [managedLabels.workload]: 'trainer' };
    const directory = temporaryDirectory();
    const { out, err } = await setup(directory, { yes: true }, undefined, withEngine({ name: 'run-7', labels }));
    expect(err).toMatch(/left out {6}run-7: Relight has made it already, for the workload trainer → .*taken over as it runs/);
    expect(out).toMatch(
      /Next:[^]*put the workload trainer back into \S+agent\.yaml as it was, and its container run-7 is taken over as it runs/,
    );
    expect(await load(directory)).toMatchObject({ workloads: [] });
  });
});
