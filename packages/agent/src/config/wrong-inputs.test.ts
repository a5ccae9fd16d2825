import { RelightError } from '@relight/shared/errors';
import { describe, expect, it } from 'vitest';
import { parseConfig } from './load.ts';

const indent = (text: string, by: number): string => text.replaceAll(/^/gm, ' '.repeat(by));
const head = 'version: 1\nworkloads:\n  - name: w\n    container:';

/** Where the fragment of a row stands. */
const frames = {
  document: (text: string): string => text,
  top: (text: string): string => `version: 1\nworkloads: []\n${text}`,
  workload: (text: string): string => `${head} {image: busybox}\n${indent(text, 4)}`,
  container: (text: string): string => `${head}\n      image: busybox\n${indent(text, 6)}`,
};

/** Each wrong input with the whole message that a person reads, less the name of the file. */
const rows: readonly (readonly [keyof typeof frames, string, string])[] = [
  ['document', '', '1:1: the file is empty; it must begin with "version: 1"'],
  ['document', '# only a comment', '1:1: the file is empty; it must begin with "version: 1"'],
  ['document', '- a', '1:1: must be a map (key: value), not a list'],
  ['document', 'version: 2\nworkloads: []', '1:10: version: must be 1, the only version that this agent understands, not 2'],
  ['document', 'version: "1"\nworkloads: []', '1:10: version: must be 1, the only version that this agent understands, not "1"'],
  ['document', 'workloads: []', '1:1: version: is required'],
  ['document', 'version: 1', '1:1: workloads: is required'],
  ['document', 'version: 1\nversion: 1\nworkloads: []', '2:1: the key "version" stands twice in the same map'],
  ['document', 'version: 1\nworkloads:\n\t- name: a', '3:1: tabs cannot indent YAML; use spaces'],
  ['document', 'version: 1\n---\nversion: 1', '2:1: the file holds more than one YAML document ("---"); one is allowed'],
  [
    'document',
    'version: 1\nworkloads: [',
    '2:13: not valid YAML: Flow sequence in block collection must be sufficiently indented and end with a ]',
  ],
  ['document', 'version: 1\nworkloads: *nowhere', '2:12: workloads: there is no anchor "&nowhere" before this alias'],
  ['document', 'version: 1\nworkloads: &w [*w]', '2:16: workloads[0][0]: the alias "*w" contains itself'],
  ['document', 'version: 1\nworkloads: []\n? [a]\n: b', '3:3: a key must be plain text'],
  ['document', 'version: 1\nworkload: []', '1:1: workloads: is required\n2:1: workload: unknown field; did you mean "workloads"?'],
  ['document', 'version: 1\nworkloads: {}', '2:12: workloads: must be a list, not a map'],
  ['document', 'version: 1\nworkloads: [w]', '2:13: workloads[0]: must be a map (key: value), not "w"'],
  [
    'document',
    'version: 1\nworkloads:\n  - {name: a, container: {image: b}}\n  - {name: a, container: {image: b, name: c}}',
    '4:12: workloads[1].name: the workload name "a" is taken already in line 3',
  ],
  [
    'document',
    'version: 1\nworkloads:\n  - {name: a, container: {image: b, name: c}}\n  - {name: d, container: {image: b, name: c}}',
    '4:43: workloads[1].container.name: the container name "c" is taken already in line 3',
  ],
  [
    'document',
    'version: 1\nworkloads:\n  - {name: a, container: {image: b, name: d}}\n  - {name: d, container: {image: b}}',
    '4:12: workloads[1].name: the container name "d" is taken already in line 3',
  ],
  ['document', 'version: 1\nworkloads: [{container: {image: b}}]', '2:13: workloads[0].name: is required'],
  [
    'document',
    'version: 1\nworkloads: [{name: "a b", container: {image: b}}]',
    '2:20: workloads[0].name: "a b" is not a name; a name begins with a letter or digit and has at most 63 of a-z, A-Z, 0-9, "_", "." and "-"',
  ],
  ['document', 'version: 1\nworkloads: [{name: a}]', '2:13: workloads[0].container: is required'],
  ['document', 'version: 1\nworkloads: [{name: a, container: {}}]', '2:34: workloads[0].container.image: is required'],
  [
    'top',
    'host: {name: -x}',
    '3:14: host.name: "-x" is not a name; a name begins with a letter or digit and has at most 63 of a-z, A-Z, 0-9, "_", "." and "-"',
  ],
  ['top', 'host: {gate: {quiet_for: 5}}', '3:26: host.gate.quiet_for: must be a duration with a unit such as 500ms, 5s, 10m or 2h, not 5'],
  [
    'top',
    'host: {gate: {quiet_for: 20m}}',
    '3:15: host.gate.quiet_for: must be shorter than timeout, or the gate opens at its deadline only',
  ],
  ['top', 'host: {gate: {tcp: [a]}}', '3:21: host.gate.tcp[0]: must be HOST:PORT, such as 10.0.0.1:6379 or [fd00::1]:6379, not "a"'],
  ['top', 'host: {gate: {tpc: []}}', '3:15: host.gate.tpc: unknown field; did you mean "tcp"?'],
  [
    'top',
    'host: {gate: {pending_reboot: wat}}',
    '3:31: host.gate.pending_reboot: must be one of wait, report, not "wat"; did you mean "wait"?',
  ],
  [
    'top',
    'host: {setup: [{mount: m}]}',
    '3:16: host.setup[0].run: is required\n3:17: host.setup[0].mount: unknown field; allowed: name, optional, retry, run, timeout, verify',
  ],
  [
    'top',
    'host: {setup: [{run: a, name: x}, {run: b, name: x}]}',
    '3:50: host.setup[1].name: the step name "x" is taken already in line 3',
  ],
  ['top', 'host: {guard: {max_age: 0s}}', '3:25: host.guard.max_age: must be longer than zero, not "0s"'],
  [
    'top',
    'host: {guard: {file: run/hands-off}}',
    '3:22: host.guard.file: "run/hands-off" must be an absolute path on the host: others have to find it, too; if it lies there, write /etc/run/hands-off',
  ],
  [
    'top',
    'host: {gate: {lock_files: [/run/a, b.lock]}}',
    '3:36: host.gate.lock_files[1]: "b.lock" must be an absolute path on the host: others have to find it, too; if it lies there, write /etc/b.lock',
  ],
  [
    'top',
    'host: {gate: {lock_files: [~/a]}}',
    '3:28: host.gate.lock_files[0]: "~/a" has "~", which depends on who runs the agent; write the absolute path',
  ],
  ['top', 'host: {orphans: delete}', '3:17: host.orphans: must be one of report, remove-stopped, remove, not "delete"'],
  ['top', 'host: {remote_actions: yes}', '3:24: host.remote_actions: must be true or false, not "yes"'],
  ['top', `host: {labels: {a: ${'x'.repeat(257)}}}`, '3:20: host.labels.a: must be at most 256 characters, not 257'],
  ['top', `host: {labels: {${'x'.repeat(257)}: a}}`, `3:17: host.labels.${'x'.repeat(257)}: must be at most 256 characters, not 257`],
  [
    'top',
    `host: {labels: {${Array.from({ length: 65 }, (_, i) => `l${i}: a`).join(', ')}}}`,
    '3:16: host.labels: must be at most 64 labels, not 65',
  ],
  ['top', 'host: {labels: [a]}', '3:16: host.labels: must be a map (key: value), not a list'],
  [
    'top',
    'collector: {url: "ftp://x"}',
    '3:18: collector.url: must be a base URL with http, https, ws or wss, such as wss://collector.example:7460, not "ftp://x"',
  ],
  ['top', 'collector: {url: "https://me:secret@x"}', '3:18: collector.url: must hold no credentials; use token_file'],
  [
    'top',
    'collector: {url: "https://x/?a=b"}',
    '3:18: collector.url: must be a base URL with http, https, ws or wss, such as wss://collector.example:7460, without "?" and "#"',
  ],
  [
    'top',
    'collector: {token: abc}',
    '3:12: collector.url: is required\n3:13: collector.token: secrets do not belong into this file; write the token into a file and name it in token_file',
  ],
  [
    'top',
    'collector: {url: "https://x", token_file: ~/token}',
    '3:43: collector.token_file: "~/token" has "~", which depends on who runs the agent; write the absolute path',
  ],
  ['top', 'state_dir: 5', '3:12: state_dir: must be text, not 5; put it in quotes'],
  ['top', 'state_dir: /proc/relight', '3:12: state_dir: "/proc/relight" cannot hold state; /proc belongs to the kernel'],
  ['top', 'state_dir: /var/../sys/', '3:12: state_dir: "/sys" cannot hold state; /sys belongs to the kernel'],
  ['top', 'state_dir: /dev/shm/relight', '3:12: state_dir: "/dev/shm/relight" cannot hold state; /dev belongs to the kernel'],
  [
    'top',
    'control: {group: no-such-group}',
    '3:18: control.group: there is no group "no-such-group" on this host; make it (groupadd --system NAME), or name one of `getent group`',
  ],
  ['top', 'control: {group: 4}', '3:18: control.group: must be text, not 4; put it in quotes'],
  ['top', 'control: {grup: adm}', '3:11: control.grup: unknown field; did you mean "group"?'],
  [
    'top',
    'engine: {socket: "tcp://1.2.3.4:2375"}',
    '3:18: engine.socket: "tcp://1.2.3.4:2375": the agent speaks to the engine of its own host only; name its unix socket',
  ],
  ['top', 'engine: {sokcet: /x}', '3:10: engine.sokcet: unknown field; did you mean "socket"?'],
  ['top', 'vars: {1A: x}', '3:8: vars.1A: "1A" is not a variable name; letters, digits and "_", not beginning with a digit'],
  ['top', 'vars: {RELIGHT_X: x}', '3:8: vars.RELIGHT_X: "RELIGHT_X" begins with RELIGHT_, which is reserved'],
  ['top', 'vars: {A: {run: x, timeout: 20}}', '3:29: vars.A.timeout: must be a duration with a unit such as 500ms, 5s, 10m or 2h, not 20'],
  ['top', 'vars: {A: {run: []}}', '3:17: vars.A.run: must name a program'],
  [
    'workload',
    'depends_on: [{tcp: "${HEAD}:6379"}]',
    '5:24: workloads[0].depends_on[0].tcp: "${HEAD}" names no variable of vars; declared: none',
  ],
  ['workload', 'depends_on: [{tcp: "head"}]', '5:24: workloads[0].depends_on[0].tcp: must be an address such as 10.0.0.1:6379, not "head"'],
  [
    'workload',
    'depends_on: [{tcp: "head:70000"}]',
    '5:24: workloads[0].depends_on[0].tcp: must be an address such as 10.0.0.1:6379, not "head:70000"',
  ],
  ['workload', 'depends_on: [{}]', '5:18: workloads[0].depends_on[0]: needs one of tcp, http'],
  ['workload', 'depends_on: [{tcp: "a:1", http: "http://a"}]', '5:18: workloads[0].depends_on[0]: has tcp and http; keep one of tcp, http'],
  [
    'workload',
    'start_deadline: 25',
    '5:21: workloads[0].start_deadline: must be a duration with a unit such as 500ms, 5s, 10m or 2h, not 25',
  ],
  [
    'workload',
    'start_deadline: 25 minutes',
    '5:21: workloads[0].start_deadline: must be a duration with a unit such as 500ms, 5s, 10m or 2h, not "25 minutes"',
  ],
  ['workload', 'start_deadline: 0s', '5:21: workloads[0].start_deadline: must be longer than zero, not "0s"'],
  ['workload', 'shell: bash -c', '5:12: workloads[0].shell: must be a list, not "bash -c"'],
  ['workload', 'shell: []', '5:12: workloads[0].shell: must name a program, such as [bash, -c]'],
  ['workload', 'spare: true', '5:12: workloads[0].spare: must be one of prepared, not true'],
  [
    'workload',
    'spare: prepared',
    '5:5: workloads[0].spare: needs a process: without one the container itself is the process, and two of it would run at once',
  ],
  [
    'workload',
    'mounts: [{name: m, type: gcsfuse, bucket: b, target: data}]',
    '5:58: workloads[0].mounts[0].target: "data" must be an absolute path inside the container, such as /data',
  ],
  [
    'workload',
    'mounts: [{name: m, type: gcsfuse, bucket: b, target: /}]',
    '5:58: workloads[0].mounts[0].target: "/" cannot be a mount target; Relight or the system needs /',
  ],
  [
    'workload',
    'mounts: [{name: m, type: gcsfuse, bucket: b, target: /run/relight/x}]',
    '5:58: workloads[0].mounts[0].target: "/run/relight/x" cannot be a mount target; Relight or the system needs /run/relight',
  ],
  ['workload', 'mounts: [{name: m, type: gcsfuse, target: /a}]', '5:14: workloads[0].mounts[0].bucket: is required'],
  [
    'workload',
    'mounts: [{name: m, type: gcsfues, bucket: b, target: /a}]',
    '5:30: workloads[0].mounts[0].type: must be one of gcsfuse, command, not "gcsfues"; did you mean "gcsfuse"?',
  ],
  [
    'workload',
    'mounts: [{name: m, type: command, run: x, bucket: b, target: /a}]',
    '5:47: workloads[0].mounts[0].bucket: unknown field; allowed: check, name, run, target, timeout, type',
  ],
  [
    'workload',
    'mounts: [{name: m, type: command, run: x, target: /a}, {name: m, type: command, run: x, target: /b}]',
    '5:67: workloads[0].mounts[1].name: the mount name "m" is taken already in line 5',
  ],
  [
    'workload',
    'mounts: [{name: m, type: command, run: x, target: /a}, {name: n, type: command, run: x, target: /a/}]',
    '5:101: workloads[0].mounts[1].target: the mount target "/a/" is taken already in line 5',
  ],
  [
    'workload',
    'mounts: [{name: m, type: gcsfuse, bucket: "${A-b}", target: /a}]',
    '5:47: workloads[0].mounts[0].bucket: "${A-b}" has "${A-b}"; only ${NAME} is understood (and $$ for a plain $)',
  ],
  [
    'workload',
    'mounts: [{name: m, type: command, run: x, target: /a, check: {failures: 0}}]',
    '5:77: workloads[0].mounts[0].check.failures: must be a whole number of at least 1, not 0',
  ],
  ['workload', 'setup: [{mount: m}]', '5:21: workloads[0].setup[0].mount: "m" names no mount of this workload; declared: none'],
  [
    'workload',
    'mounts: [{name: data, type: command, run: x, target: /a}]\nsetup: [{mount: dta}]',
    '6:21: workloads[0].setup[0].mount: "dta" names no mount of this workload; did you mean "data"?',
  ],
  [
    'workload',
    'mounts: [{name: m, type: command, run: x, target: /a}]\nsetup: [{mount: m}, {mount: m}]',
    '6:33: workloads[0].setup[1].mount: the mount "m" is taken already in line 6',
  ],
  ['workload', 'setup: [echo hi]', '5:13: workloads[0].setup[0]: must be a map (key: value), not "echo hi"'],
  ['workload', 'setup: [{run: ""}]', '5:19: workloads[0].setup[0].run: must not be empty'],
  ['workload', 'setup: [{run: {a: b}}]', '5:19: workloads[0].setup[0].run: must be text or a list of arguments, not a map'],
  [
    'workload',
    'setup: [{name: a, run: x}, {name: a, run: y}]',
    '5:39: workloads[0].setup[1].name: the step name "a" is taken already in line 5',
  ],
  [
    'workload',
    'setup: [{run: x}, {name: step 1, run: y}]',
    '5:30: workloads[0].setup[1].name: the step name "step 1" is taken already in line 5',
  ],
  [
    'workload',
    'setup: [{run: x, retry: {attempts: 0}}]',
    '5:40: workloads[0].setup[0].retry.attempts: must be a whole number of at least 1, not 0',
  ],
  [
    'workload',
    'setup: [{run: x, retry: {attemps: 2}}]',
    '5:30: workloads[0].setup[0].retry.attemps: unknown field; did you mean "attempts"?',
  ],
  ['workload', 'process: {before: x}', '5:14: workloads[0].process.run: is required'],
  ['workload', 'process: {run: x, max_runtime: 0s}', '5:36: workloads[0].process.max_runtime: must be longer than zero, not "0s"'],
  ['workload', 'process: [ray, start]', '5:14: workloads[0].process: must be a map (key: value), not a list'],
  [
    'workload',
    'ready: [{ray_node: {dashboard: "10.0.0.1:8265"}}]',
    '5:36: workloads[0].ready[0].ray_node.dashboard: must be a URL that begins with http:// or https://, not "10.0.0.1:8265"',
  ],
  [
    'workload',
    'ready: [{ray_node: {dashboard: "http://h", node_ip: here}}]',
    '5:57: workloads[0].ready[0].ray_node.node_ip: must be an IP address, not "here"',
  ],
  [
    'workload',
    'ready: [{ray_node: {dashboard: "http://h"}, from: container}]',
    '5:49: workloads[0].ready[0].from: is for tcp and http; the head is asked from the host',
  ],
  [
    'workload',
    'live: [{ray_node: {dashboard: "http://h", grace: 1m}, failures: 3}]',
    '5:59: workloads[0].live[0].failures: says the same as ray_node.grace; keep one of them',
  ],
  [
    'workload',
    'ready: [{exec: x, from: host}]',
    '5:23: workloads[0].ready[0].from: is for tcp and http; exec always runs in the container',
  ],
  ['workload', 'ready: [{tcp: "a:1", status: 200}]', '5:26: workloads[0].ready[0].status: is for http only'],
  [
    'workload',
    'ready: [{http: "127.0.0.1:80"}]',
    '5:20: workloads[0].ready[0].http: must be a URL that begins with http:// or https://, not "127.0.0.1:80"',
  ],
  [
    'workload',
    'ready: [{http: "http://x", status: 99}]',
    '5:40: workloads[0].ready[0].status: must be a whole number from 100 to 599, not 99',
  ],
  ['workload', 'ready: [{tcp: "a:1", interval: 0s}]', '5:36: workloads[0].ready[0].interval: must be longer than zero, not "0s"'],
  [
    'workload',
    'live: [{tcp: "a:1", restarts: process}]',
    '5:25: workloads[0].live[0].restarts: the workload has no process; allowed: container, none',
  ],
  [
    'workload',
    'live: [{tcp: "a:1", restarts: host}]',
    '5:35: workloads[0].live[0].restarts: must be one of process, container, none, not "host"',
  ],
  ['workload', 'live: [{ray_node: {}}]', '5:23: workloads[0].live[0].ray_node.dashboard: is required'],
  ['workload', 'restart: {process: {initial: 10s, max: 1s}}', '5:39: workloads[0].restart.process.max: must not be below initial'],
  ['workload', 'restart: {process: {factor: 0.5}}', '5:33: workloads[0].restart.process.factor: must be a number from 1 to 1000, not 0.5'],
  ['workload', 'restart: {process: {jitter: 25%}}', '5:33: workloads[0].restart.process.jitter: must be a number from 0 to 1, not "25%"'],
  [
    'workload',
    'restart: {process: {budget: 10}}',
    '5:33: workloads[0].restart.process.budget: must be a count per duration such as "10 per 10m", not 10',
  ],
  [
    'workload',
    'restart: {process: {budget: 0 per 10m}}',
    '5:33: workloads[0].restart.process.budget: must be a count per duration such as "10 per 10m", not "0 per 10m"',
  ],
  [
    'workload',
    'restart: {process: {escalate_after: 0}}',
    '5:41: workloads[0].restart.process.escalate_after: must be a whole number of at least 1, not 0',
  ],
  [
    'workload',
    'restart: {container: {escalate_after: 2}}',
    '5:43: workloads[0].restart.container.escalate_after: the level above the container, the host, is not supported yet (not-supported-yet); remove it',
  ],
  [
    'workload',
    'restart: {process: {delays: [5s], factor: 2}}',
    '5:25: workloads[0].restart.process.delays: excludes initial and factor: it says every delay itself',
  ],
  ['workload', 'restart: {process: {delays: []}}', '5:33: workloads[0].restart.process.delays: must name at least one delay'],
  ['workload', 'restart: {process: {delays: [90s], max: 60s}}', '5:40: workloads[0].restart.process.max: must not be below any of delays'],
  [
    'workload',
    'restart: {process: {cooldown: 5m}}',
    '5:35: workloads[0].restart.process.cooldown: must be a duration after a number of failures such as "5m after 3", not "5m"',
  ],
  [
    'workload',
    'restart: {process: {preset: fast}}',
    '5:33: workloads[0].restart.process.preset: must be one of http-startup, slow-host, not "fast"',
  ],
  ['workload', 'restart: always', '5:14: workloads[0].restart: must be a map (key: value), not "always"'],
  ['workload', 'logs: {files: [a.log]}', '5:20: workloads[0].logs.files[0]: must be an absolute path inside the container'],
  [
    'workload',
    "logs: {redact: ['a.*?b']}",
    '5:21: workloads[0].logs.redact[0]: "a.*?b": "*?" is lazy, but the longest match is always taken: write a class, as in [^;]*',
  ],
  [
    'workload',
    'logs: {rate_limit: 50000/s}',
    '5:24: workloads[0].logs.rate_limit: must be a count per duration such as "10 per 10m", not "50000/s"',
  ],
  [
    'container',
    'restart: always',
    '6:7: workloads[0].container.restart: Relight is the only restarter; remove it (see restart: of the workload)',
  ],
  [
    'container',
    'auto_remove: true',
    '6:7: workloads[0].container.auto_remove: Relight removes containers itself, after it has kept the evidence; remove it',
  ],
  [
    'container',
    'adopt: old',
    '5:7: workloads[0].container.image: comes from the adopted container; remove it here, or write the whole section without adopt: (relight-agent import container)',
  ],
  ['container', 'container_name: x', '6:7: workloads[0].container.container_name: is called "name" here'],
  [
    'container',
    'healthcheck: {test: x}',
    '6:7: workloads[0].container.healthcheck: is not read; write checks under ready: and live: of the workload',
  ],
  ['container', 'platform: linux/amd64', '6:7: workloads[0].container.platform: not supported yet (not-supported-yet); remove it'],
  ['container', 'imgae: x', '6:7: workloads[0].container.imgae: unknown field; did you mean "image"?'],
  [
    'container',
    'pull_policy: allways',
    '6:20: workloads[0].container.pull_policy: must be one of always, missing, never, not "allways"; did you mean "always"?',
  ],
  [
    'container',
    'on_death: restart',
    '6:17: workloads[0].container.on_death: must be one of recreate, start, not "restart"; did you mean "start"?',
  ],
  ['container', 'command: "sh -c \'x"', '6:16: workloads[0].container.command: "sh -c \'x" has a quote that is never closed'],
  ['container', 'command: []', '6:16: workloads[0].container.command: must name a program'],
  [
    'container',
    'environment: [TOKEN]',
    '6:21: workloads[0].container.environment[0]: TOKEN: has no value; Relight takes nothing over from its own environment: write the value here, or put it in a file named in env_file',
  ],
  [
    'container',
    'environment: {TOKEN: }',
    '6:28: workloads[0].container.environment.TOKEN: has no value; Relight takes nothing over from its own environment: write the value here, or put it in a file named in env_file',
  ],
  ['container', 'environment: {A: [1]}', '6:24: workloads[0].container.environment.A: must be text, a number or a boolean, not a list'],
  [
    'container',
    'environment: {RELIGHT_RUN: x}',
    '6:21: workloads[0].container.environment.RELIGHT_RUN: "RELIGHT_RUN" begins with RELIGHT_, which is reserved',
  ],
  [
    'container',
    'env_file: ~/x.env',
    '6:17: workloads[0].container.env_file: "~/x.env" has "~", which depends on who runs the agent; write the absolute path',
  ],
  [
    'container',
    'env_file: [{path: x, required: false}]',
    '6:28: workloads[0].container.env_file[0].required: false is not supported yet (not-supported-yet)',
  ],
  [
    'container',
    'labels: {relight.agent: x}',
    '6:16: workloads[0].container.labels.relight.agent: "relight.agent" begins with "relight.", which is reserved',
  ],
  [
    'container',
    'volumes: [/data]',
    '6:17: workloads[0].container.volumes[0]: must be "source:target[:options]", not "/data"; an anonymous volume cannot be found again, so give it a name',
  ],
  [
    'container',
    'volumes: ["/a:b"]',
    '6:17: workloads[0].container.volumes[0]: "b" must be an absolute path inside the container, such as /data',
  ],
  [
    'container',
    'volumes: ["/a:/b:rx"]',
    '6:17: workloads[0].container.volumes[0]: "rx" is not a volume option; allowed: ro, rw, private, rprivate, shared, rshared, slave, rslave',
  ],
  [
    'container',
    'volumes: ["/a:/b:z"]',
    '6:17: workloads[0].container.volumes[0]: the volume option "z" is not supported yet (not-supported-yet)',
  ],
  [
    'container',
    'volumes: ["${HOME}/a:/b"]',
    '6:17: workloads[0].container.volumes[0]: "${HOME}/a:/b" uses a variable; variables are not interpolated in this field',
  ],
  [
    'container',
    'volumes: [{type: npipe, source: a, target: /b}]',
    '6:24: workloads[0].container.volumes[0].type: must be one of bind, volume, tmpfs, not "npipe"',
  ],
  [
    'container',
    'volumes: [{type: volume, target: /b}]',
    '6:17: workloads[0].container.volumes[0].source: is required; an anonymous volume cannot be found again',
  ],
  [
    'container',
    'ports: ["80:http"]',
    '6:15: workloads[0].container.ports[0]: must be "[address:][host-port:]container-port[/tcp|udp|sctp]" such as "8080:80", not "80:http"',
  ],
  [
    'container',
    'ports: ["8000-8002:80-81"]',
    '6:15: workloads[0].container.ports[0]: "8000-8002:80-81": the host\'s range has 3 ports and the container\'s 2',
  ],
  ['container', 'ports: ["0:80"]', '6:15: workloads[0].container.ports[0]: "0:80": "0" is not a range of ports from 1 to 65535'],
  [
    'container',
    'ports: [80]\nnetwork_mode: host',
    '6:7: workloads[0].container.ports: has no effect with "network_mode: host"; the container uses the ports of the host directly',
  ],
  [
    'container',
    'network_mode: service:db',
    '6:21: workloads[0].container.network_mode: there are no Compose services here; write "container:NAME"',
  ],
  ['container', 'network_mode: host\nnetworks: [a]', '7:7: workloads[0].container.networks: excludes network_mode; keep one of the two'],
  ['container', 'networks: [a, a]', '6:21: workloads[0].container.networks[1]: network "a" is taken already in line 6'],
  [
    'container',
    'networks: {a: {ipv4_address: 1.2.3.4}}',
    '6:22: workloads[0].container.networks.a.ipv4_address: not supported yet (not-supported-yet)',
  ],
  ['container', 'devices: [fuse]', '6:17: workloads[0].container.devices[0]: must be "/dev/source[:/dev/target][:rwm]", not "fuse"'],
  [
    'container',
    'devices: ["nvidia.com/gpu=all"]',
    '6:17: workloads[0].container.devices[0]: "nvidia.com/gpu=all" is a CDI device, which is not supported yet (not-supported-yet)',
  ],
  ['container', 'gpus: 0', '6:13: workloads[0].container.gpus: must be "all", a count of at least 1, or a list of device ids, not 0'],
  ['container', 'gpus: []', '6:13: workloads[0].container.gpus: must name a device; remove the field for none'],
  [
    'container',
    'ulimits: {nofiles: 1}',
    '6:17: workloads[0].container.ulimits.nofiles: "nofiles" is not a limit; allowed: as, core, cpu, data, fsize, locks, memlock, msgqueue, nice, nofile, nproc, rss, rtprio, rttime, sigpending, stack',
  ],
  [
    'container',
    'ulimits: {nofile: {soft: 2, hard: 1}}',
    '6:25: workloads[0].container.ulimits.nofile: the soft limit 2 is above the hard limit 1',
  ],
  ['container', 'ulimits: [nofile]', '6:17: workloads[0].container.ulimits[0]: must be "name=soft:hard", not "nofile"'],
  ['container', 'shm_size: 100', '6:17: workloads[0].container.shm_size: must be a size with a unit such as 64mb or 100gb, not 100'],
  [
    'container',
    'mem_limit: 2 bananas',
    '6:18: workloads[0].container.mem_limit: must be a size with a unit such as 64mb or 100gb, not "2 bananas"',
  ],
  ['container', 'memswap_limit: 1gb', '6:7: workloads[0].container.memswap_limit: needs mem_limit'],
  [
    'container',
    'mem_limit: 2gb\nmemswap_limit: 1gb',
    '7:7: workloads[0].container.memswap_limit: is memory plus swap and must not be below mem_limit',
  ],
  ['container', 'cpus: 0', '6:13: workloads[0].container.cpus: must be a number from 0.01 to 65536, not 0'],
  ['container', 'cpuset: all', '6:15: workloads[0].container.cpuset: must be a list of CPUs such as "0-3,8", not "all"'],
  ['container', 'oom_score_adj: 2000', '6:22: workloads[0].container.oom_score_adj: must be a whole number from -1000 to 1000, not 2000'],
  ['container', 'privileged: "true"', '6:19: workloads[0].container.privileged: must be true or false, not "true"'],
  ['container', 'pid: private', '6:12: workloads[0].container.pid: must be one of host, container:NAME, not "private"'],
  [
    'container',
    'cgroup: private2',
    '6:15: workloads[0].container.cgroup: must be one of host, private, not "private2"; did you mean "private"?',
  ],
  ['container', 'sysctls: [net.core.somaxconn]', '6:17: workloads[0].container.sysctls[0]: net.core.somaxconn: has no value'],
  ['container', 'extra_hosts: [a]', '6:21: workloads[0].container.extra_hosts[0]: must be "host:address", not "a"'],
  ['container', 'stop_signal: sigterm!', '6:20: workloads[0].container.stop_signal: must be a signal such as SIGTERM, not "sigterm!"'],
  [
    'container',
    'stop_grace_period: 10',
    '6:26: workloads[0].container.stop_grace_period: must be a duration with a unit such as 500ms, 5s, 10m or 2h, not 10',
  ],
  [
    'container',
    'working_dir: src',
    '6:20: workloads[0].container.working_dir: "src" must be an absolute path inside the container, such as /data',
  ],
  ['container', 'logging: {drivr: local}', '6:17: workloads[0].container.logging.drivr: unknown field; did you mean "driver"?'],
  ['container', '<<: 5', '6:11: workloads[0].container: the merge key "<<" takes a map or a list of maps'],
  ['container', 'volumes: ["/a:/b", "/c:/b/"]', '6:7: workloads[0].container.volumes: the target "/b" is taken already'],
  ['container', 'volumes: ["/a:/run/relight"]', '6:7: workloads[0].container.volumes: "/run/relight" is Relight\'s own directory'],
  ['container', 'volumes: ["/a:/b"]\ntmpfs: /b', '7:7: workloads[0].container.tmpfs: the target "/b" is taken already'],
  [
    'document',
    'version: 1\nworkloads: []\ncollector: {url: "htps://me:secret@x"}',
    '3:18: collector.url: must be a base URL with http, https, ws or wss, such as wss://collector.example:7460, not "htps://…@x"',
  ],
  [
    'workload',
    'setup: [{name: step 2, run: x}, {run: y}]',
    '5:37: workloads[0].setup[1]: the step name "step 2" is taken already in line 5',
  ],
];

describe('a wrong configuration', () => {
  it.each(rows)('%s %j', (frame, fragment, message) => {
    let thrown: unknown;
    try {
      parseConfig(frames[frame](fragment), '/etc/a.yaml', { hostname: 'h' });
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(RelightError);
    expect((thrown as RelightError).code).toBe('config-invalid');
    expect((thrown as RelightError).message.replaceAll('/etc/a.yaml:', '')).toBe(message);
  });
});
