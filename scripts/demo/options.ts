import { parseArgs } from 'node:util';
import { suggest } from '@relight/shared/suggest';

export interface DemoOptions {
  readonly engine: 'private' | 'reachable';
  readonly keep: boolean;
  readonly help: boolean;
}

export const usage = `Usage: npm run demo -- [options]

Brings up a collector, an agent and a worker with a real FUSE mount on a Docker Engine, breaks them one after the other, and
shows what Relight does about it. Everything it starts and writes is its own, and is gone when it ends.

Options:
  --engine private    a Docker Engine of the demo's own (default; Linux, as root; docker.io is installed where it is missing)
  --engine reachable  the engine at DOCKER_HOST (unix://…) or /var/run/docker.sock
  --keep              go on until Ctrl-C, with the commands to play with
  -h, --help          show this

Exit codes: 0 everything came back, 1 something did not, 2 wrong usage, 130 ended by Ctrl-C.
`;

const names = ['engine', 'keep', 'help'];

/** A string is what is wrong, for a person. */
export function parseOptions(args: readonly string[]): DemoOptions | string {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: { engine: { type: 'string', default: 'private' }, keep: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
    });
    const { engine, keep = false, help = false } = values;
    if (engine !== 'private' && engine !== 'reachable') return `--engine is private or reachable, not "${engine}"`;
    return { engine, keep, help };
  } catch (thrown) {
    const wrong = args.find((arg) => arg.startsWith('--') && !names.includes(arg.slice(2).split('=')[0] ?? ''));
    const near = wrong === undefined ? undefined : suggest(wrong.slice(2), names);
    const message = thrown instanceof Error ? (thrown.message.split('. ')[0] ?? '') : String(thrown);
    return near === undefined ? message : `${message}. Did you mean --${near}?`;
  }
}
