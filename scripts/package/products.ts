/** The two packages: what each holds, and what it asks of the machine. */
import type { ProgramName } from './programs.ts';

export interface Product {
  readonly name: 'relight-agent' | 'relight-collector';
  /** Folder of its sources: packages/NAME. */
  readonly source: 'agent' | 'collector';
  readonly programs: readonly ProgramName[];
  readonly summary: string;
  /** Lines of the long description. */
  readonly description: readonly string[];
  /** Beside the libraries that its binaries ask for (needs.ts). */
  readonly depends: readonly string[];
  readonly recommends: readonly string[];
  /** Comes to /etc/relight with the first installation (postinst), and is a person's from then on; other examples are only documentation. */
  readonly configuration: string | null;
  /** npm packages that stay beside the bundle, with their native binaries. */
  readonly native: readonly string[];
  /** File → what it is for, in the man pages. */
  readonly files: Readonly<Record<string, string>>;
}

export const products: readonly Product[] = [
  {
    name: 'relight-agent',
    source: 'agent',
    programs: ['relight-agent'],
    summary: 'keeps the containers of a GPU or TPU host useful',
    description: [
      'The agent of Relight supervises the containers of one host: when a container,',
      'its FUSE mount, its setup or its process dies, it brings back the whole of it',
      'and proves it by checks. Installing, upgrading and removing it restarts no',
      'workload.',
    ],
    depends: ['util-linux'],
    // Its service tells systemd through systemd-notify; without systemd the agent works as well.
    recommends: ['systemd'],
    configuration: null,
    native: [],
    files: {
      '/etc/relight/agent.yaml': 'The configuration. The service waits until it is there.',
      '/var/lib/relight': 'State: identity, what is not yet acknowledged by the collector, output of workloads, and the control socket.',
      '/usr/share/doc/relight-agent/examples/agent.yaml': 'An example with comments.',
      '/usr/share/doc/relight-agent/docs': 'Install, configuration, operations, security, upgrade, and the references.',
    },
  },
  {
    name: 'relight-collector',
    source: 'collector',
    programs: ['relight-collector', 'relight'],
    summary: 'one picture of a whole fleet of GPU and TPU hosts',
    description: [
      'The collector of Relight takes in events and logs of all agents, keeps them in',
      'SQLite, tells which host fell silent, alerts, and answers operators. With it',
      "comes the operator's command relight.",
    ],
    depends: ['passwd'],
    recommends: ['systemd'],
    configuration: 'collector.yaml',
    native: ['better-sqlite3'],
    files: {
      '/etc/relight/collector.yaml': 'The configuration.',
      '/var/lib/relight-collector': 'Everything that is stored, for the account relight-collector alone.',
      '/usr/share/doc/relight-collector/examples/monitoring':
        'Alerts for Prometheus, a dashboard for Grafana, and how both find the collector.',
      '/usr/share/doc/relight-collector/docs': 'Install, operations, security, monitoring, upgrade, and the references.',
    },
  },
];
