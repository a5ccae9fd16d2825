import { describe, expect, it } from 'vitest';
import { parseConfig } from '../config/load.ts';
import type { Engine } from '../engine/engine.ts';
import { importContainerCommand, importDockerRunCommand } from './import-command.ts';
import { recordedIo } from './recorded-io.ts';

describe('import', () => {
  it('prints the configuration on stdout and the rest on stderr', async () => {
    const io = recordedIo();
    expect(await importDockerRunCommand(['docker', 'run', '--rm', 'busybox', 'sleep', 'infinity'], io)).toBe(0);
    expect(parseConfig(io.out.join(''), '/a.yaml', { hostname: 'h' }).workloads[0]?.container.command).toEqual(['sleep', 'infinity']);
    expect(io.err).toEqual(['not carried over: --rm: Relight removes containers itself, after it has kept the evidence']);
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
