import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { temporaryDirectory, writeTo } from '../control/recorded-io.ts';
import { registryLogin, registryOf } from './registry-auth.ts';

let directory: string;
beforeEach(() => {
  directory = temporaryDirectory();
});
afterEach(() => rmSync(directory, { recursive: true }));

it.each([
  ['busybox', 'docker.io'],
  ['library/busybox:1', 'docker.io'],
  ['us-docker.pkg.dev/team/image:tag', 'us-docker.pkg.dev'],
  ['localhost/a', 'localhost'],
  ['reg:5000/a@sha256:0', 'reg:5000'],
])('%s comes from %s', (image, registry) => {
  expect(registryOf(image)).toBe(registry);
});

describe('the login of this host', () => {
  const login = (image: string, config: unknown) => {
    if (config !== null) writeTo(directory, 'config.json', typeof config === 'string' ? config : JSON.stringify(config));
    return registryLogin(image, { DOCKER_CONFIG: directory, PATH: `${join(directory, 'bin')}:${process.env['PATH']}` });
  };
  const auth = Buffer.from('me:pa:ss').toString('base64');
  const helper = (name: string, script: string): void => {
    mkdirSync(join(directory, 'bin'), { recursive: true });
    writeTo(directory, `bin/docker-credential-${name}`, `#!/bin/sh\n${script}\n`, 0o755);
  };

  it('is nobody where nobody has logged in', async () => {
    expect(await login('reg.io/a', null)).toEqual({ kind: 'none', configFile: join(directory, 'config.json') });
    expect(await login('reg.io/a', { auths: { 'other.io': { auth } } })).toMatchObject({ kind: 'none' });
    expect(await login('reg.io/a', { auths: { 'reg.io': {} } })).toMatchObject({ kind: 'none' });
  });

  it.each([
    ['reg.io/a', 'reg.io'],
    ['reg.io/a', 'https://reg.io'],
    ['busybox', 'https://index.docker.io/v1/'],
  ])('of %s is what docker login wrote under %s', async (image, key) => {
    expect(await login(image, { auths: { [key]: { auth } } })).toEqual({
      kind: 'known',
      from: join(directory, 'config.json'),
      credentials: { username: 'me', password: 'pa:ss', serveraddress: key },
    });
  });

  it('is what a credential helper says, which is asked for the registry', async () => {
    helper('gcloud', 'read server; echo "{\\"Username\\": \\"oauth2accesstoken\\", \\"Secret\\": \\"for $server\\"}"');
    expect(await login('us-docker.pkg.dev/t/i', { credHelpers: { 'us-docker.pkg.dev': 'gcloud' } })).toEqual({
      kind: 'known',
      from: 'docker-credential-gcloud',
      credentials: { username: 'oauth2accesstoken', password: 'for us-docker.pkg.dev', serveraddress: 'us-docker.pkg.dev' },
    });
  });

  it('is the file again where a store knows nothing', async () => {
    helper('store', 'echo "credentials not found in native keychain"; exit 1');
    expect(await login('reg.io/a', { credsStore: 'store', auths: { 'reg.io': { auth } } })).toMatchObject({ kind: 'known' });
  });

  it.each([
    [
      'a helper that is not there',
      { credHelpers: { 'reg.io': 'none' } },
      "docker-credential-none, which Docker's configuration names for reg.io: it is not installed",
    ],
    ['a helper that fails', { credHelpers: { 'reg.io': 'bad' } }, 'ERROR: please log in'],
    ['a file that is no JSON, which quotes no password', '{"auths": hunter2}', '/config.json is not valid: it is no JSON'],
  ])('is broken with %s', async (_, config, why) => {
    helper('bad', 'echo "ERROR: please log in" >&2; exit 1');
    expect(await login('reg.io/a', config)).toMatchObject({ kind: 'broken', why: expect.stringContaining(why) });
  });
});
