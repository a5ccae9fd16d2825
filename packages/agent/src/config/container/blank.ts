import type { ContainerSpec } from '../spec.ts';

/** A container of which nothing is said: every field that always has a value, with the one that Docker gives it. */
export const blankContainer: Omit<ContainerSpec, 'name' | 'image' | 'pullPolicy'> = {
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
