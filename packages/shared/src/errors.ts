/**
 * The one error catalogue of Relight. A code is stable: events, API problems, exit messages and documents refer to it.
 * Adding a row here is the only way to make a new one.
 *
 * `recoverable: false` means that trying again without a change is useless, so a workload that meets it is held.
 */
export interface CatalogueEntry {
  readonly title: string;
  readonly recoverable: boolean;
  /** What a person does next. One sentence, imperative. */
  readonly advice: string;
  /** HTTP status where the collector's API answers with it. */
  readonly status?: number;
}

const entry = (title: string, advice: string, more: { recoverable?: boolean; status?: number } = {}): CatalogueEntry => ({
  title,
  advice,
  recoverable: more.recoverable ?? true,
  ...(more.status === undefined ? {} : { status: more.status }),
});

export const catalogue = {
  // Usage and configuration
  'config-invalid': entry('The configuration is not valid', 'Correct the named field and try again.', { recoverable: false }),
  'config-unreadable': entry('The configuration cannot be read', 'Check the path and its permissions.', { recoverable: false }),
  'not-supported-yet': entry('Not supported yet', 'Remove the field; a later version brings it.', { recoverable: false }),
  usage: entry('Wrong usage', 'See --help.', { recoverable: false, status: 400 }),
  'already-running': entry('Another agent uses this state directory', 'Stop the other one or give --state-dir.', { recoverable: false }),

  // Engine
  'engine-unreachable': entry('The container engine does not answer', 'Look at the engine: systemctl status docker.'),
  'engine-timeout': entry('An engine call exceeded its deadline', 'Look at the load of the host and of the engine.'),
  'engine-too-old': entry('The engine is too old', 'Install Docker Engine 20.10 or newer (API 1.41).', { recoverable: false }),
  'engine-error': entry('The engine refused a call', 'Read the message of the engine.'),
  'image-not-found': entry('The image does not exist', 'Correct the image name, or build or load the image.', { recoverable: false }),
  'image-unauthorized': entry('The registry refuses the credentials', 'Log in to the registry on this host.', { recoverable: false }),
  'image-pull-failed': entry('The image could not be pulled', 'Check network and registry.'),
  'create-rejected': entry('The engine rejects the container options', 'Correct the container section.', { recoverable: false }),
  'name-conflict': entry('Another owner holds the container name', 'Remove the other container or choose another name.', {
    recoverable: false,
  }),
  'cannot-adopt': entry('The container cannot be adopted', 'Read what is in the way, or write its settings under container:.', {
    recoverable: false,
  }),
  'port-taken': entry('A host port is already taken', 'Stop the holder of the port or choose another one.'),
  'device-missing': entry('A device or path of the container is missing', 'Check devices and volumes on this host.'),
  'disk-full': entry('No space left on the device', 'Free disk space on this host.', { recoverable: false }),
  'read-only-filesystem': entry(
    'A file system takes nothing any more',
    'Look at the disk (dmesg, mount): it stays read-only until a repair or a reboot.',
    { recoverable: false },
  ),
  'start-failed': entry('The container could not be started', 'Read the message of the engine.'),

  // Container
  'container-exited': entry('The container exited', 'Read its last lines: relight tail --previous.'),
  'spare-unusable': entry(
    'The prepared spare could not take over',
    'Nothing to do: a container was made without it, and a new spare follows.',
  ),
  'container-removed': entry('The container was removed', 'Find out who removes it; use pause for maintenance.'),
  'stopped-by-hand': entry('Somebody stopped the container through the engine', 'Find out who did it; use pause for maintenance.'),
  'container-restarted': entry('Somebody else restarted the container', 'Leave restarting to Relight; use pause for maintenance.'),
  'container-oom': entry('The container ran out of memory', 'Raise its memory limit or lower its use.'),
  'process-oom': entry('The kernel killed a process for want of memory', 'Raise the memory limit or lower the use of memory.'),
  'host-rebooted': entry('The container fell with the machine', 'Nothing: it is brought back without cost to its budget.'),
  'engine-restarted': entry('The container fell with the engine', 'Nothing: it is brought back without cost to its budget.'),

  // Stages
  'variable-failed': entry('A variable could not be resolved', 'Run its command by hand on this host.'),
  'gate-closed': entry('The host is not fit for a recovery', 'Nothing: it waits for what the message names, without cost to its budget.'),
  'dependency-down': entry('A dependency does not answer', 'Nothing: the workload waits for it without cost to its budget.'),
  'stage-timeout': entry('A stage exceeded its deadline', 'Raise its timeout or find out why it hangs.'),
  'mount-failed': entry('The mount program failed', 'Read its output: relight tail HOST/WORKLOAD --source mount.'),
  'credentials-rejected': entry('The credentials of a mount are rejected', 'Check the credentials inside the container.', {
    recoverable: false,
  }),
  'bucket-unknown': entry('The bucket does not exist', 'Correct the name of the bucket.', { recoverable: false }),
  'fuse-missing': entry('FUSE cannot be used in the container', 'Give it /dev/fuse, cap_add: [SYS_ADMIN] and fusermount.', {
    recoverable: false,
  }),
  'mount-lost': entry('A mount is gone', 'Nothing, unless it repeats: then look for its daemon being killed.'),
  'mount-hung': entry('A mount does not answer', 'Nothing, unless it repeats: then look at its network and its daemon.'),
  'mount-stuck': entry('A dead mount cannot be removed', 'Recreate the container: relight restart HOST/WORKLOAD --level container.'),
  'volume-lost': entry(
    'A mount of the host behind a volume is gone',
    'Mount it again on the host when it is dead there, too; a new container follows by itself.',
  ),
  'setup-failed': entry('A setup step failed', 'Read its output: relight tail HOST/WORKLOAD --source setup.'),
  'setup-unverified': entry('A setup step ran but its verify command fails', 'Check the verify command and the step.'),
  'exec-failed': entry('A command could not be started in the container', 'Check that the image has the program and a shell.'),
  'run-directory-lost': entry('The run directory of the container is gone', 'Nothing: the container is recreated.'),
  'process-exited': entry('The process exited', 'Read its last lines: relight tail HOST/WORKLOAD --source process.'),
  'version-mismatch': entry(
    'The process has another version than the cluster',
    'Use the same image, with the same versions of Ray and Python, as the head.',
    { recoverable: false },
  ),
  'auth-failed': entry('The process was refused: its credentials are wrong', 'Correct the token or secret that it is given.'),
  'address-in-use': entry('A port of the process is already taken', 'Stop the holder of the port, or choose another one.'),
  'stale-session': entry('The session directory is from another cluster', 'Nothing: it is set aside once. Then look at /tmp/ray.'),
  'process-stuck': entry('Processes survive SIGKILL', 'Look for processes in D state: a hung mount or device.'),
  'ready-timeout': entry('The readiness checks did not pass in time', 'Run the failing check by hand.'),
  'live-failed': entry('A liveness check failed', 'Run the failing check by hand.'),
  'start-deadline': entry('The workload was not ready before its start deadline', 'Look at the slowest stage.'),
  cancelled: entry('The operation was cancelled', 'Nothing.'),
  internal: entry('A defect of Relight', 'Please report it with the message.', { status: 500 }),

  // Accelerators
  'tpu-busy': entry('The TPU is held by another process', 'Find the holder (relight host); replace the VM when nobody holds it.'),
  'slice-peer-failed': entry('Another host of the slice has failed', 'Look for the host of the slice that failed first.'),
  'gpu-lost': entry('The GPU is lost inside the container', 'Nothing: the container is recreated.'),
  'gpu-driver-mismatch': entry('The GPU driver and its library differ', 'Reboot the host, or reload the driver.', { recoverable: false }),
  'gpu-failed': entry('A GPU of this host has failed', 'Reset the GPU, reboot or replace the host, as the message says.', {
    recoverable: false,
  }),
  'gpu-xid': entry('A program on a GPU has failed (Xid)', 'Nothing, unless it repeats: then look at the program, and test the GPU.'),

  // Agent and collector
  'host-facts-unknown': entry('What this machine is could not be found out in full', 'Run relight-agent facts on the host.'),
  'agent-unreachable': entry(
    'The agent on this host does not answer',
    'Start it: systemctl start relight-agent, or relight-agent run --config F; another --state-dir may be meant.',
  ),
  'collector-unreachable': entry('The collector does not answer', 'Check its address, network and certificate.'),
  'certificate-refused': entry(
    'The certificate of the collector is not accepted',
    'Compare its fingerprint with relight-collector certificate show.',
    { recoverable: false },
  ),
  unauthorized: entry('The token is missing or wrong', 'Give a valid token (RELIGHT_TOKEN or token_file).', {
    recoverable: false,
    status: 401,
  }),
  forbidden: entry('The token does not allow this', 'Use an operator token.', { recoverable: false, status: 403 }),
  'too-many-failures': entry('Too many refused requests from this address', 'Wait a minute, then come with a valid token.', {
    status: 429,
  }),
  'too-many-requests': entry('That was asked for too often', 'Wait as long as it says, then ask again.', { status: 429 }),
  'not-found': entry('There is no such thing', 'Check the name.', { recoverable: false, status: 404 }),
  conflict: entry('That contradicts the present state', 'Look at the present state first.', { status: 409 }),
  'too-large': entry('The message is too large', 'Send less at once.', { recoverable: false, status: 413 }),
  overloaded: entry('Too many at once', 'Try again later.', { status: 503 }),
  'host-not-connected': entry('The host is not connected', 'Wait until its agent is back.', { status: 409 }),
  'action-refused': entry('The host refuses remote actions', 'Set host.remote_actions: true there, or act on the host.', {
    recoverable: false,
    status: 409,
  }),
  protocol: entry('The other side broke the protocol', 'Upgrade the older side.', { recoverable: false, status: 400 }),
  'store-failed': entry('The store could not be written', 'Look at the disk of the collector.', { status: 503 }),
} as const satisfies Record<string, CatalogueEntry>;

export type ErrorCode = keyof typeof catalogue;

/** What a person does about an agent's token that is refused. */
export const agentTokenAdvice =
  'Where the host has joined: relight-collector token create --kind join, and on the host relight-agent join. With a token_file: write a token of --kind agent into it.';

/** Every error that Relight raises on purpose. Anything else that surfaces is a defect. */
export class RelightError extends Error {
  override readonly name = 'RelightError';
  readonly code: ErrorCode;
  readonly recoverable: boolean;
  readonly advice: string;
  /** Small, JSON-serialisable facts for events; never secrets. */
  readonly data: Readonly<Record<string, unknown>>;

  constructor(
    code: ErrorCode,
    message: string,
    more: { cause?: unknown; recoverable?: boolean; advice?: string; data?: Record<string, unknown> } = {},
  ) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.code = code;
    this.recoverable = more.recoverable ?? catalogue[code].recoverable;
    this.advice = more.advice ?? catalogue[code].advice;
    this.data = more.data ?? {};
  }
}

/** Turns whatever was thrown into a RelightError; an unknown error becomes `fallback` with its message kept. */
export function toRelightError(thrown: unknown, fallback: ErrorCode = 'internal'): RelightError {
  if (thrown instanceof RelightError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new RelightError(fallback, message, { cause: thrown });
}

export function errorMessage(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
