import type { ContainerFacts } from './engine.ts';

/** A container of which nothing is known, as the engine tells of one that was just created. */
export const blankFacts: ContainerFacts = {
  id: '',
  name: '',
  image: '',
  imageId: '',
  labels: {},
  status: 'created',
  pid: 0,
  createdAt: 0,
  startedAt: null,
  finishedAt: null,
  exitCode: null,
  oomKilled: false,
  error: '',
  restartPolicy: 'no',
  restartCount: 0,
  logDriver: 'json-file',
  logPath: '',
  tty: false,
  user: '',
  runDirectory: '',
};
