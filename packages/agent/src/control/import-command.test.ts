import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { HostAnswers } from '../config/import/ray/options.ts';
import { parseConfig } from '../config/load.ts';
import type { Engine } from '../engine/engine.ts';
import { importContainerCommand, importDockerRunCommand, importRayCommand } from './import-command.ts';
import { recordedIo, temporaryDirectory, writeTo } from './recorded-io.ts';

describe('import', () => {
  it('prints the configuration on stdout and the rest on stderr', async () => {
    const io = recordedIo();
    expect(await importDockerRunCommand(['docker', 'run', '--rm', 'busybox', 'sleep', 'infinity'], io)).toBe(0);
    expect(parseConfig(io.out.join(''), '/a.yaml', { hostname: 'h' }).workloads[0]?.container.command).toEqual(['sleep', 'infinity']);
    expect(io.err).toEqual(['not carried over: --rm: Relight removes containers itself, after it has kept the evidence']);
  });

  it('prints what a Ray cluster becomes, and each thing that has to be known with its place', async () => {
    const cluster =
      'provider: {type: local, head_ip: 10.0.0.2}\ndocker:\n  image: ray:1\n  worker_run_options: ["--restart always"]\nsetup_commands: [x || true]\n';
    const file = writeTo(temporaryDirectory(), 'cluster.yaml', cluster);
    const io = recordedIo();
    const askHost = async (): Promise<HostAnswers> => ({ memoryAvailableBytes: 2 ** 34, nvidia: false });
    await importRayCommand(file, { socket: '/s' }, io, askHost);
    const { vars, workloads } = parse(io.out.join('')) as { vars: object; workloads: readonly { container: object; setup: unknown }[] };
    expect(vars).toEqual({ RAY_HEAD_IP: '10.0.0.2' });
    expect(workloads[0]).toMatchObject({
      container: { name: 'ray_container', image: 'ray:1', network_mode: 'host', pull_policy: 'always', shm_size: '5406mb' },
      setup: [{ run: 'x', optional: true }],
    });
    expect(io.err).toEqual(
      expect.arrayContaining([
        expect.stringMatching(`^not carried over: ${file}:1: provider: `),
        expect.stringMatching(`^not carried over: ${file}:4: docker.run_options: --restart always: `),
        expect.stringMatching(`^changed: ${file}:5: "x": `),
      ]),
    );
    await expect(importRayCommand(`${file}.none`, { socket: '/s' }, io, askHost)).rejects.toMatchObject({ code: 'config-unreadable' });
  });

  it('says which values that it prints are secret by their names', async () => {
    const io = recordedIo();
    expect(await importDockerRunCommand(['docker', 'run', '-e', 'HF_TOKEN=hf_x', '-e', 'A=1', '-e', 'DB_PASSWORD=y', 'busybox'], io)).toBe(
      0,
    );
    expect(io.err).toEqual([expect.stringMatching(/^secret by its name: HF_TOKEN, DB_PASSWORD: .*env_file.*0600/)]);
    expect(io.err.join('')).not.toContain('hf_x');
  });

  it('says what has to be corrected by hand', async () => {
    const io = recordedIo();
    expect(await importDockerRunCommand(['docker', 'run', '--ulimit', 'nofiles=1', 'busybox'], io)).toBe(2);
    expect(io.err.join('\n')).toContain('workloads[0].container.ulimits[0]: "nofiles" is not a limit');
  });

  it('asks the engine for a container and its image', async () => {
    const asked: string[] = [];
    const engine: Partial<Engine> = {
      inspectRaw: async (name) =>
        name === 'a' ? { Name: '/a', Image: 'sha256:1', Config: { Image: 'busybox', Cmd: ['sh'], Env: ['P=1', 'Q=2'] } } : null,
      inspectImage: async (image) => {
        asked.push(image);
        return { Config: { Cmd: ['sh'], Env: ['P=1'] } };
      },
    };
    const io = recordedIo();
    expect(await importContainerCommand('a', { socket: '/s' }, io, () => engine as Engine)).toBe(0);
    const { container } = parseConfig(io.out.join(''), '/a.yaml', { hostname: 'h' }).workloads[0] ?? {};
    expect(container).toMatchObject({ name: 'a', environment: { Q: '2' } });
    expect(asked).toEqual(['sha256:1']);
    await expect(importContainerCommand('b', { socket: '/s' }, io, () => engine as Engine)).rejects.toMatchObject({ code: 'not-found' });
  });
});
