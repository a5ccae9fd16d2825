/** What is asked before, until and while a workload is ready. */
import { field, type SectionReference } from './reference.ts';

export const checkSections: readonly SectionReference[] = [
  {
    path: 'workloads[].depends_on[]',
    fields: {
      tcp: field('host:port, `${VAR}`', '', 'one of `tcp` and `http`'),
      http: field('URL, `${VAR}`', '', 'any 2xx answer'),
      timeout: field('duration', '`5s`'),
    },
  },
  {
    path: 'workloads[].ready[]',
    anchor: 'workloadsready',
    fields: {
      name: field('text', 'from the probe', 'for people'),
      tcp: field('host:port, `${VAR}`', '', 'can a connection be opened?'),
      http: field('URL, `${VAR}`', '', 'redirects are not followed, certificates not judged'),
      exec: field('command', '', 'in the container; exit code 0'),
      ray_node: field('map', '', 'does the head of the Ray cluster have this node ALIVE?'),
      gpu: field('`{}`', '', 'does the container still have its GPUs? [What its answers mean](configuration.md#workloadsreadygpu)'),
      volumes: field(
        '`{}`',
        '',
        "do the host's FUSE mounts behind the volumes answer? [What its answers mean](configuration.md#workloadsreadyvolumes)",
      ),
      from: field('host, container', '`host`', 'whose network; for `tcp` and `http`'),
      status: field('number or list', 'any 2xx', 'for `http`'),
      interval: field('duration', '`1s`', 'until ready every second counts. Of `ray_node` 10 s: all hosts ask the same head'),
      timeout: field('duration', '`5s`'),
    },
  },
  {
    path: 'workloads[].live[]',
    fields: {
      interval: field('duration', '`10s`', 'probes every 2 s were seen to restart healthy nodes eight times a day'),
      failures: field('number from 1', '`3`', 'one after the other, before it acts'),
      restarts: field('process, container, none', '`process`', '`container` where there is no `process`; `none` only makes it `degraded`'),
    },
  },
  {
    path: 'workloads[].ready[].ray_node',
    anchor: 'workloadsreadyray_node',
    fields: {
      dashboard: field(
        'URL, `${VAR}`',
        'required',
        'of the head: `http://${HEAD}:8265`. The dashboard listens on the loopback interface unless the head was started with `--dashboard-host=0.0.0.0`',
      ),
      node_ip: field(
        'IP address, `${VAR}`',
        'the address towards the head, as Ray finds it',
        'what `ray start` got as `--node-ip-address`',
      ),
      grace: field(
        'duration, 0 too',
        'none: 3 failures, 30 s',
        'in `live`, in place of `failures`: how long the head may not have this node ALIVE. `ready` has its `ready_window`',
      ),
    },
  },
];
