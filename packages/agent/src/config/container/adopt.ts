/** `container: {adopt: NAME}`: everything about the container comes from the one that is there. */
import { object, type Reader } from '../fields.ts';
import { choice, name } from '../scalars.ts';
import type { ContainerSpec } from '../spec.ts';

const allowed: ReadonlySet<string> = new Set(['adopt', 'pull_policy']);

export const adoptedContainer: Reader<ContainerSpec> = object((fields) => {
  const adopt = fields.required('adopt', name);
  const pullPolicy = fields.optional('pull_policy', choice('always', 'missing', 'never'), 'missing' as const);
  const others = fields.node.entries.map(({ key }) => key).filter((key) => !allowed.has(key));
  const why =
    'comes from the adopted container; remove it here, or write the whole section without adopt: (relight-agent import container)';
  fields.refuse(Object.fromEntries(others.map((key) => [key, why])));
  return () => ({ ...blank, name: adopt, adopt, pullPolicy });
});

/** Until the container was seen. Its image is known then, and it is made again from the engine's own description. */
const blank: Omit<ContainerSpec, 'name' | 'adopt' | 'pullPolicy'> = {
  image: '',
  onDeath: 'recreate',
  environment: {},
  envFile: [],
  volumes: [],
  tmpfs: [],
  ports: [],
  devices: [],
  ulimits: {},
  networks: [],
  privileged: false,
  init: false,
  tty: false,
  stdinOpen: false,
  capAdd: [],
  capDrop: [],
  securityOpt: [],
  groupAdd: [],
  extraHosts: [],
  dns: [],
  readOnly: false,
  labels: {},
  sysctls: {},
  logging: null,
};
