/** `relight-agent setup` on a host as a test describes it: with what runs there, and with the answers of a person at its terminal. */
import { join } from 'node:path';
import { RelightError } from '@relight/shared/errors';
import { loadConfig } from '../config/load.ts';
import type { Engine } from '../engine/engine.ts';
import { recordedIo } from './recorded-io.ts';
import { setupCommand, type SetupSurroundings } from './setup-command.ts';
import { Interrupted, type SetupFlags } from './setup/answers.ts';

const gone = async (): Promise<never> => {
  throw new RelightError('engine-unreachable', 'nothing answers at /s');
};
export const noEngine = { info: gone, ping: gone, list: gone, inspect: gone, inspectRaw: gone } as unknown as Engine;

interface Running {
  readonly name: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** The engine does not answer for it. */
  readonly hangs?: true;
}
const engineWith = (...containers: readonly Running[]): Engine =>
  ({
    info: async () => ({ id: 'e', version: '28.2.2', apiVersion: '1.50', liveRestore: true, runtimes: ['runc'], rootDirectory: '/' }),
    list: async () => containers.map(({ name }) => name),
    inspect: async () => null,
    hasImage: async () => true,
    inspectRaw: async (id: string) => {
      const found = containers.find(({ name }) => name === id);
      if (found?.hangs === true) throw new RelightError('engine-timeout', `no answer for ${id} within 10 s`);
      if (found === undefined) return null;
      const { name, labels = {} } = found;
      return { Id: name, Name: `/${name}`, Config: { Image: 'img:1', Labels: labels }, HostConfig: {}, State: { Running: true } };
    },
  }) as unknown as Engine;
export const withEngine = (...containers: readonly Running[]): Partial<SetupSurroundings> => ({
  openEngine: () => engineWith(...containers),
});

export interface Tried {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  readonly started: readonly string[];
  readonly asked: readonly string[];
}

/** `answers`: of a person at a terminal, who leaves after the last one; none: there is no terminal. */
export async function setup(
  directory: string,
  flags: Partial<SetupFlags>,
  answers?: readonly string[],
  more: Partial<SetupSurroundings> = {},
): Promise<Tried> {
  const io = recordedIo({ PATH: '' });
  const started: string[] = [];
  const asked: string[] = [];
  const around: SetupSurroundings = {
    hostname: 'tpu-0',
    rayPlaces: [],
    rayOwners: new Set([process.getuid?.() ?? 0]),
    openEngine: () => noEngine,
    service: { state: async () => 'none', start: async (argv) => (started.push(argv.join(' ')), null) },
    runningAgent: async () => null,
    onInterrupt: () => () => {},
    openTerminal: () =>
      answers === undefined
        ? null
        : {
            ask: async (question) => {
              const answer = answers[asked.push(question) - 1];
              if (answer === undefined) throw new Interrupted();
              return answer;
            },
          },
    ...more,
  };
  const file = join(directory, 'agent.yaml');
  const code = await setupCommand({ config: file, stateDir: join(directory, 'state'), socket: '/s', ...flags }, io, around);
  return { code, out: io.out.join(''), err: io.err.join('\n'), started, asked };
}
export const load = (directory: string) => loadConfig(join(directory, 'agent.yaml'), { hostname: 'tpu-0' });
