import type { CreateOptions } from '../../packages/agent/src/engine/create-options.ts';

type HostConfig = CreateOptions['HostConfig'];

export interface CreateBodyInput extends Partial<Omit<CreateOptions, 'HostConfig'>> {
  readonly HostConfig?: Partial<HostConfig>;
}

/** A create body with the least that an engine needs, without network unless one is given. */
export function createBody(image: string, command: readonly string[], more: CreateBodyInput = {}): CreateOptions {
  return {
    Image: image,
    Cmd: command,
    Env: [],
    Labels: {},
    Tty: false,
    OpenStdin: false,
    ...more,
    HostConfig: {
      AutoRemove: false,
      RestartPolicy: { Name: 'no' },
      LogConfig: { Type: 'json-file', Config: {} },
      Mounts: [],
      Privileged: false,
      ReadonlyRootfs: false,
      NetworkMode: 'none',
      ...more.HostConfig,
    },
  };
}

/** What a container needs on top to mount FUSE. */
export const fuseHostConfig = {
  CapAdd: ['SYS_ADMIN'],
  Devices: [{ PathOnHost: '/dev/fuse', PathInContainer: '/dev/fuse', CgroupPermissions: 'rwm' }],
  SecurityOpt: ['apparmor=unconfined'],
} as const satisfies Partial<HostConfig>;
