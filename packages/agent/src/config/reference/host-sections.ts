/** What stands outside of `workloads`. */
import { field, topLevel, type SectionReference } from './reference.ts';

export const hostSections: readonly SectionReference[] = [
  {
    path: topLevel,
    anchor: 'top-level',
    fields: {
      version: field('`1`', 'required'),
      host: field('map', '', 'this machine'),
      collector: field('map', 'none: the agent works alone', 'where events and logs go'),
      state_dir: field(
        'path, not below /proc, /sys or /dev',
        '`/var/lib/relight`',
        '[what is in it](operations.md#files). With another directory the agent is another owner and will not touch the containers of the old one: move the directory, do not only rename it here. `--state-dir` and `RELIGHT_STATE_DIR` win',
      ),
      control: field('map', '', 'who on this host may ask the agent'),
      engine: field('map', '', 'the container engine of this host'),
      vars: field('map', '`{}`'),
      workloads: field('list', 'required', 'one container each, with everything that makes it useful', 'parts'),
    },
  },
  {
    path: 'host',
    fields: {
      name: field('name', "the host's name", 'what operators see'),
      labels: field('map of texts', '`{}`', 'for `relight status --label pool=v5e`; at most 64, key and value of 256 characters'),
      remote_actions: field(
        'true, false',
        '`true`',
        'whether operators may restart, pause and resume from afar. There is no other remote action',
      ),
      gate: field('map', '', 'what must be so before anything is recovered here'),
      setup: field('list', '`[]`', 'commands on the host, before any workload begins, once per boot'),
      guard: field('map', '', 'the do-not-touch guard'),
      orphans: field(
        'report, remove-stopped, remove',
        '`remove-stopped`',
        'what becomes of containers of this agent that no workload wants any more. Reported they are always. `remove` also removes those that run',
      ),
      accelerators: field('map', '', 'the GPUs that this host has to have'),
    },
  },
  {
    path: 'host.accelerators',
    anchor: 'hostaccelerators',
    fields: {
      gpus: field(
        'number, 0 too',
        'as many as were seen since the machine booted',
        "fewer that answer are a condition (`gpu-missing`). Without a number a GPU that was lost before the agent's first look is not missed",
      ),
    },
  },
  {
    path: 'host.gate',
    anchor: 'hostgate',
    fields: {
      quiet_for: field('duration, 0 too, below `timeout`', '`5s`', 'after a boot, and after any condition below was not satisfied'),
      timeout: field(
        'duration',
        '`15m`',
        'what is not satisfied by then is waived, with a warning, until it was satisfied once. The longest boot that the field waits for',
      ),
      package_manager_idle: field(
        'true, false',
        '`true`',
        "nobody holds the lock of dpkg, apt, rpm, dnf, yum or zypper. Told by the kernel's table of locks; that a lock file exists says nothing",
      ),
      pending_reboot: field(
        'wait, report',
        '`wait`',
        'whether a `/run/reboot-required` younger than `timeout` is waited for. An older one is only reported (`reboot-pending`): that reboot will not come by itself',
      ),
      tcp: field(
        'list of HOST:PORT',
        '`[]`',
        'these must accept a connection. For what this host needs; what one workload needs belongs into its `depends_on`',
      ),
      lock_files: field(
        'list of absolute paths',
        '`[]`',
        "further files on whose lock (`flock`, `fcntl`) is waited: a provisioning tool's, for instance",
      ),
    },
  },
  {
    path: 'host.setup[]',
    anchor: 'hostsetup',
    fields: {
      name: field('one line, unique', '`step N`'),
      run: field('command', 'required'),
      optional: field('true, false', '`false`', 'whether its failure is only reported'),
      timeout: field('duration', '`10m`', 'of one attempt'),
      retry: field('map, as of `workloads[].setup[]`'),
      verify: field('command', 'none', 'must succeed after the step'),
    },
  },
  {
    path: 'host.guard',
    anchor: 'hostguard',
    fields: {
      file: field('absolute path', '`hands-off` in the state directory'),
      max_age: field('duration', '`2h`', 'since its last change. Longer than a repair by hand, shorter than a night'),
    },
  },
  {
    path: 'collector',
    fields: {
      url: field('http, https, ws or wss address', 'required', 'base address; no credentials, no query'),
      token_file: field('path', 'none', "holds the agent's token; read at every connection"),
      ca_file: field('path', "the system's authorities", 'PEM, for a certificate of your own'),
      fingerprint: field(
        'SHA-256',
        'none',
        'of the certificate that the collector must show, or of its key; then no authority is asked. `relight-collector certificate show` says both',
      ),
    },
  },
  {
    path: 'control',
    anchor: 'control',
    fields: {
      group: field(
        'name of a group',
        'none: root alone',
        'its members see the state of all workloads, and may pause, resume and restart them; nothing else',
      ),
    },
  },
  {
    path: 'engine',
    fields: {
      socket: field('path or unix:// address', '`/var/run/docker.sock`', 'Docker Engine 20.10 (API 1.41) or newer, on this host'),
    },
  },
  {
    path: 'vars.NAME',
    anchor: 'variables',
    fields: {
      run: field('command', 'required', 'its trimmed output is the value; at most 64 KiB'),
      timeout: field('duration', '`20s`'),
    },
  },
];
