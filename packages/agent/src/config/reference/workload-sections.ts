/** One workload: what its container needs to be useful. */
import { field, type SectionReference } from './reference.ts';

export const workloadSections: readonly SectionReference[] = [
  {
    path: 'workloads[]',
    anchor: 'workloads',
    fields: {
      name: field('name, unique', 'required'),
      depends_on: field(
        'list',
        '`[]`',
        'asked before each attempt, and again before the process starts when that is long ago; a dependency that is down costs no budget, and is asked again every second',
      ),
      start_deadline: field('duration', '`25m`', 'from the beginning of an attempt to ready; after it a new container is made'),
      shell: field('list', 'bash, else sh', 'what gets the text of commands as its last argument'),
      container: field('map', 'required', '', 'parts'),
      mounts: field('list', '`[]`', 'FUSE file systems inside the container', 'parts'),
      setup: field('list', '`[]`', 'commands that make the container useful, in order', 'parts'),
      process: field('map', 'none', "the long-running program. Without it the container's own command is the workload", 'parts'),
      ready_window: field('duration', '`180s`', 'for all of `ready` to pass once everything is in place'),
      ready: field('list of checks', '`[]`', 'the proof that it is useful'),
      live: field('list of checks', '`[]`', 'asked while it is ready'),
      restart: field('map', '', 'how failures are answered'),
      logs: field('map'),
      spare: field(
        'prepared',
        'none',
        "a second container stands ready for the first one's death ([what it does](configuration.md#workloads))",
      ),
    },
  },
  {
    path: 'workloads[].mounts[]',
    of: 'every mount',
    anchor: 'workloadsmounts',
    fields: {
      name: field('name, unique', 'required'),
      target: field('path in the container, unique', 'required', 'not through a symbolic link of the image'),
      type: field('gcsfuse, command', 'required'),
      timeout: field(
        'duration',
        '`60s`',
        'until the mount answers. Cloud mounts appear within seconds; a slow metadata server costs tens of them',
      ),
      check: field('map'),
    },
  },
  {
    path: 'workloads[].mounts[]',
    of: 'type `gcsfuse`',
    fields: {
      bucket: field('text, `${VAR}`', 'required', 'empty or `_`: all buckets that the credentials may see'),
      only_dir: field('text, `${VAR}`', 'none', 'a directory of the bucket'),
      implicit_dirs: field('true, false', '`false`'),
      options: field('list', '`[]`', 'further flags, one a word, before bucket and target'),
    },
  },
  {
    path: 'workloads[].mounts[]',
    of: 'type `command`',
    fields: {
      run: field('command', 'required', 'in the foreground if it can; a program that goes into the background counts as well'),
    },
  },
  {
    path: 'workloads[].mounts[].check',
    fields: {
      interval: field('duration', '`10s`', 'a hang is known after (10 s + 5 s) × 2'),
      timeout: field('duration', '`5s`'),
      failures: field('number from 1', '`2`', 'one after the other; a disconnected mount (ENOTCONN) counts at once'),
    },
  },
  {
    path: 'workloads[].setup[]',
    anchor: 'workloadssetup',
    fields: {
      name: field('one line, unique', '`step N`'),
      run: field('command', 'required'),
      optional: field('true, false', '`false`', 'whether its failure is only reported'),
      timeout: field('duration', '`10m`', 'of one attempt. Package installs take minutes; longer ones say so'),
      retry: field('map'),
      verify: field('command', 'none', 'must succeed after the step; tells on `on_death: start` that the step need not run again'),
    },
  },
  {
    path: 'workloads[].setup[].retry',
    fields: {
      attempts: field('number from 1', '`1`'),
      delay: field('duration, 0 too', '`5s`', 'between two attempts'),
    },
  },
  {
    path: 'workloads[].process',
    fields: {
      run: field('command', 'required'),
      before: field('command', 'none', 'runs to its end before every start; its failure is a failure of the start'),
      stop_timeout: field('duration, 0 too', '`10s`', 'between SIGTERM and SIGKILL; as `docker stop`'),
      max_runtime: field(
        'duration, or null',
        '`null`',
        'after so long it is stopped in order and the workload is `stopped`: nothing is started again before `resume` or `restart`',
      ),
    },
  },
];
