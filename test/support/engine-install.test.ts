import { expect, test } from 'vitest';
import { obstacle } from './engine-install.ts';

const debian = { platform: 'linux', isRoot: true, isDebian: true } as const;
const engine = 'a Docker Engine of its own';

test.each([
  ['nothing missing', [], debian, engine, undefined],
  ['root on Debian installs what is missing', ['dockerd'], debian, engine, undefined],
  ['nothing missing, and no root needed', [], { ...debian, isRoot: false }, undefined, undefined],
  ['nothing missing, but root needed', [], { ...debian, isRoot: false }, engine, `${engine} needs root: start this as root`],
  [
    'the exact command where only root is missing',
    ['dockerd', 'fusermount3'],
    { ...debian, isRoot: false },
    engine,
    `${engine} needs root: start this as root; missing: dockerd, fusermount3. As root: apt-get update && apt-get install -y --no-install-recommends docker.io fuse3`,
  ],
  [
    'the names of Debian on another distribution, also for root',
    ['busybox', 'gcc'],
    { ...debian, isDebian: false },
    engine,
    'missing: busybox, gcc. Install them; in Debian they come with busybox-static gcc libc6-dev',
  ],
  ['not Linux', [], { ...debian, platform: 'darwin' }, undefined, 'this needs Linux, with FUSE and cgroups; this machine runs darwin'],
] as const)('%s', (_name, missing, machine, root, expected) => {
  expect(obstacle(missing, machine, root)).toBe(expected);
});
