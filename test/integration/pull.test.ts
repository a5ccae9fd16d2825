/** Pulls through a real engine from a registry that gives, refuses or hangs. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it, vi } from 'vitest';
import { DockerEngine } from '../../packages/agent/src/engine/docker-engine.ts';
import { pull as pullStage } from '../../packages/agent/src/stages/pull.ts';
import { systemClock } from '../../packages/shared/src/clock.ts';
import { dockerApi } from '../support/docker-api.ts';
import { workloadFixture } from '../support/specs.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { waitFor } from '../support/wait.ts';

describe('pull', () => {
  const engine = new DockerEngine({ socketPath: inject('engineSocket') });
  let registry: TestRegistry;

  beforeAll(async () => {
    registry = await startRegistry({
      'team/good': 'ok',
      'team/absent': { status: 404, code: 'MANIFEST_UNKNOWN' },
      'team/private': { status: 401, code: 'UNAUTHORIZED' },
      'team/denied': { status: 403, code: 'DENIED' },
      'team/limited': { status: 429, code: 'TOOMANYREQUESTS' },
      'team/broken': { status: 500, code: 'UNKNOWN' },
      'team/silent': 'silent',
    });
  });
  afterAll(() => registry.close());

  const pull = (repository: string, options = {}): Promise<readonly string[]> => {
    const lines: string[] = [];
    return engine.pull(`${registry.address}/${repository}`, (line) => lines.push(line), options).then(() => lines);
  };

  it('brings the image and tells of its progress', async () => {
    const lines = await pull('team/good');
    expect(lines).toContainEqual(expect.stringMatching(/^latest: Pulling from team\/good/));
    expect(lines).toContainEqual(expect.stringMatching(/^Status: Downloaded newer image/));
    expect(await engine.hasImage(`${registry.address}/team/good`)).toBe(true);
    expect(await engine.hasImage(`${registry.address}/team/good:other`)).toBe(false);
  });

  it.each([
    ['team/absent', 'image-not-found'],
    ['team/unknown', 'image-not-found'],
    ['team/private', 'image-unauthorized'],
    ['team/denied', 'image-unauthorized'],
    ['team/limited', 'image-pull-failed'],
    ['team/broken', 'image-pull-failed'],
  ])('%s: %s', async (repository, code) => {
    await expect(pull(repository)).rejects.toMatchObject({ code });
  });

  it('logs in with what docker login has left on this host', async () => {
    const closed = await startRegistry({ 'team/good': 'ok' }, 'me:pa:ss');
    const directory = mkdtempSync(join(tmpdir(), 'relight-pull-'));
    vi.stubEnv('DOCKER_CONFIG', directory);
    const image = `${closed.address}/team/good`;
    const config = (content: object): void => writeFileSync(join(directory, 'config.json'), JSON.stringify(content));
    try {
      await expect(engine.pull(image, () => undefined)).rejects.toMatchObject({ code: 'image-unauthorized' });
      config({ credHelpers: { [closed.address]: 'not-there' } });
      await expect(engine.pull(image, () => undefined)).rejects.toMatchObject({
        code: 'image-unauthorized',
        message: expect.stringContaining('docker-credential-not-there'),
      });
      config({ auths: { [closed.address]: { auth: Buffer.from('me:pa:ss').toString('base64') } } });
      await engine.pull(image, () => undefined);
      expect(await engine.hasImage(image)).toBe(true);
    } finally {
      vi.unstubAllEnvs();
      rmSync(directory, { recursive: true });
      await closed.close();
    }
  });

  it('ends at its deadline, and with its signal', async () => {
    await expect(pull('team/silent', { timeoutMs: 300 })).rejects.toMatchObject({
      code: 'image-pull-failed',
      message: expect.stringMatching(/not pulled within 300 ms/),
    });
    const controller = new AbortController();
    const pulling = pull('team/silent', { signal: controller.signal });
    controller.abort();
    await expect(pulling).rejects.toMatchObject({ code: 'cancelled' });
  });

  it('is ended by an image of that name that somebody makes meanwhile', async () => {
    const image = `${registry.address}/team/silent`;
    const spec = workloadFixture({}, { image: `${image}:1`, pullPolicy: 'missing' });
    const told: string[] = [];
    const context = { engine, clock: systemClock, spec, signal: new AbortController().signal, progress: (line: string) => told.push(line) };
    const pulling = pullStage(context);
    await waitFor(() => told.includes(`pull ${image}:1`), { what: 'the pull to begin' });
    const docker = dockerApi(inject('engineSocket'));
    await docker.tag(inject('engineImage'), image, '1');
    try {
      expect(await pulling).toEqual({ kind: 'pull' });
    } finally {
      await docker.removeImage(`${image}:1`);
    }
  });

  it('fails at once when nobody listens', async () => {
    await expect(engine.pull('127.0.0.1:9/x', () => undefined)).rejects.toMatchObject({ code: 'image-pull-failed' });
  });
});
