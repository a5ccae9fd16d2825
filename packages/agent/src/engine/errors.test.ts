import { RelightError, type ErrorCode } from '@relight/shared/errors';
import { describe, expect, it } from 'vitest';
import { callFailure, pullFailure, refusal, type CallKind } from './errors.ts';

/** Sentences as the engines say them: 20.10 provoked, 28 from its source. */
const answers: readonly (readonly [CallKind, number, string, ErrorCode])[] = [
  ['create', 404, 'No such image: nope:latest', 'image-not-found'],
  ['create', 400, 'Unknown runtime specified nvidia', 'create-rejected'],
  ['create', 400, 'unknown or invalid runtime name: nvidia', 'create-rejected'],
  ['create', 400, 'Minimum memory limit allowed is 6MB', 'create-rejected'],
  ['create', 400, 'No command specified', 'create-rejected'],
  ['create', 400, 'Invalid container name (x), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed', 'create-rejected'],
  ['create', 400, 'invalid mount config for type "bind": bind source path does not exist: /nope', 'device-missing'],
  ['create', 500, 'mkdir /var/lib/docker/overlay2/abc: no space left on device', 'disk-full'],
  ['create', 500, 'layer does not exist', 'engine-error'],
  [
    'create',
    409,
    'Conflict. The container name "/a" is already in use by container "0123456789ab". You have to remove (or rename) that container to be able to reuse that name.',
    'name-conflict',
  ],
  [
    'other',
    409,
    'Error when allocating new name: Conflict. The container name "/a" is already in use by container "0123456789ab". You have to remove (or rename) that container to be able to reuse that name.',
    'name-conflict',
  ],
  [
    'other',
    409,
    'Error when allocating new name: Conflict. The container name "/a" is already in use by container 0123456789ab. You have to remove (or rename) that container to be able to reuse that name.',
    'name-conflict',
  ],
  [
    'start',
    500,
    'error gathering device information while adding custom device "/dev/accel0": no such file or directory',
    'device-missing',
  ],
  ['start', 500, 'could not select device driver "" with capabilities: [[gpu]]', 'device-missing'],
  [
    'start',
    500,
    'failed to create task for container: failed to create shim task: OCI runtime create failed: could not apply required modification to OCI specification: error modifying OCI spec: failed to inject CDI devices: unresolvable CDI devices nvidia.com/gpu=all: unknown',
    'device-missing',
  ],
  [
    'start',
    500,
    "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: error running prestart hook #0: exit status 1, stdout: , stderr: Auto-detected mode as 'legacy'\nnvidia-container-cli: initialization error: nvml error: driver not loaded: unknown",
    'device-missing',
  ],
  ['start', 400, "error while creating mount source path '/mnt/x': mkdir /mnt/x: read-only file system", 'device-missing'],
  [
    'start',
    500,
    'driver failed programming external connectivity on endpoint a (0b07): Error starting userland proxy: listen tcp4 0.0.0.0:45454: bind: address already in use',
    'port-taken',
  ],
  [
    'start',
    500,
    'driver failed programming external connectivity on endpoint a (0b07): Bind for 0.0.0.0:8080 failed: port is already allocated',
    'port-taken',
  ],
  [
    'start',
    500,
    'failed to set up container networking: driver failed programming external connectivity on endpoint a (0b07): failed to bind host port for 0.0.0.0:8080:172.17.0.2:80/tcp: address already in use',
    'port-taken',
  ],
  [
    'start',
    400,
    'failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: "nope-cmd": executable file not found in $PATH: unknown',
    'start-failed',
  ],
  [
    'start',
    400,
    'failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: "/etc": permission denied: unknown',
    'start-failed',
  ],
  ['start', 400, 'unable to find user nobodyhere: no matching entries in passwd file', 'start-failed'],
  ['start', 404, 'network nopenet not found', 'start-failed'],
  ['start', 404, 'No such container: nope', 'container-removed'],
  ['start', 409, 'joining network namespace of container: No such container: other', 'start-failed'],
  [
    'start',
    400,
    'OCI runtime create failed: runc create failed: unable to start container process: error during container init: error mounting "/mnt/d" to rootfs at "/d": mount /mnt/d:/d (via /proc/self/fd/6), flags: 0x5000: no such file or directory: unknown',
    'device-missing',
  ],
  ['start', 400, "error while creating mount source path '/mnt/gcs': mkdir /mnt/gcs: file exists", 'device-missing'],
  ['start', 409, 'container is marked for removal and cannot be started', 'container-removed'],
  [
    'start',
    500,
    'connection error: desc = "transport: Error while dialing dial unix:///run/containerd/containerd.sock: connect: connection refused"',
    'engine-unreachable',
  ],
  ['start', 500, 'rpc error: code = Unavailable desc = transport is closing: unavailable', 'engine-unreachable'],
  ['exec', 409, 'Container 5b557b761b94 is not running', 'container-exited'],
  ['exec', 409, 'container 5b557b761b94 is not running', 'container-exited'],
  ['exec', 404, 'No such exec instance: 0123', 'container-exited'],
  ['exec', 404, 'No such container: nope', 'container-removed'],
  [
    'exec',
    400,
    'OCI runtime exec failed: exec failed: unable to start container process: exec: "nope": executable file not found in $PATH: unknown',
    'exec-failed',
  ],
  [
    'exec',
    400,
    'OCI runtime exec failed: exec failed: unable to start container process: chdir to cwd ("/x") set in config.json failed: no such file or directory: unknown',
    'exec-failed',
  ],
  ['exec', 409, 'Container a is paused, unpause the container before exec', 'exec-failed'],
  ['other', 400, 'Invalid signal: BOGUS', 'engine-error'],
  ['other', 503, 'anything', 'engine-unreachable'],
];

const pulls: readonly (readonly [string, ErrorCode])[] = [
  ['manifest for busybox:nope not found: manifest unknown: manifest unknown', 'image-not-found'],
  ['manifest unknown', 'image-not-found'],
  ['no matching manifest for linux/arm64/v8 in the manifest list entries', 'image-not-found'],
  ['invalid reference format: repository name must be lowercase', 'image-not-found'],
  ['repository us-docker.pkg.dev/a/b not found: name unknown: Repository "b" not found', 'image-not-found'],
  [
    "pull access denied for nope, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
    'image-unauthorized',
  ],
  ['Head "https://us-docker.pkg.dev/v2/a/b/manifests/latest": denied: Unauthenticated request. unauthorized', 'image-unauthorized'],
  ['unauthorized: authentication required', 'image-unauthorized'],
  [
    'toomanyrequests: You have reached your pull rate limit. You may increase the limit by authenticating and upgrading',
    'image-pull-failed',
  ],
  ['Get "https://registry.example/v2/": dial tcp: lookup registry.example on 127.0.0.53:53: no such host', 'image-pull-failed'],
  ['Get "http://localhost:9/v2/": dial tcp 127.0.0.1:9: connect: connection refused', 'image-pull-failed'],
  ['received unexpected HTTP status: 503 Service Unavailable', 'image-pull-failed'],
  ['net/http: TLS handshake timeout', 'image-pull-failed'],
  ['failed to register layer: write /usr/lib/x: no space left on device', 'disk-full'],
];

describe('what the engine says', () => {
  it.each(answers)('%s %i %s → %s', (kind, status, message, code) => {
    const failure = refusal(kind, status, message);
    expect(failure.code).toBe(code);
    expect(failure.message).toBe(message);
    expect(failure.data['holderId']).toBe(code === 'name-conflict' ? '0123456789ab' : undefined);
  });

  it('says what to do about a program that is missing', () => {
    expect(refusal('start', 400, 'exec: "nope": executable file not found in $PATH').advice).toMatch(/correct command or entrypoint/);
  });

  it('says what may be wrong with the path of a volume, where the engine only says that it cannot make a directory', () => {
    const said = "error while creating mount source path '/mnt/gcs': mkdir /mnt/gcs: file exists";
    expect(refusal('start', 400, said).advice).toMatch(/FUSE mount that is dead: umount -l .* symbolic link that leads nowhere/);
    expect(refusal('start', 400, said.replace('file exists', 'read-only file system')).advice).not.toMatch(/FUSE/);
  });

  it.each(pulls)('pull: %s → %s', (message, code) => {
    expect(pullFailure(message).code).toBe(code);
  });
});

describe('what the client throws', () => {
  it.each(['ECONNREFUSED', 'ENOENT', 'ECONNRESET', 'EPIPE', 'EACCES', 'ERR_STREAM_PREMATURE_CLOSE', 'HPE_INVALID_CONSTANT'])(
    '%s is an engine that does not answer',
    (code) => {
      expect(callFailure('start', Object.assign(new Error(`connect ${code}`), { code })).code).toBe('engine-unreachable');
    },
  );

  it('takes the words of the engine, not of the client', () => {
    const thrown = Object.assign(new Error('(HTTP code 404) no such container - No such container: x '), {
      statusCode: 404,
      json: { message: 'No such container: x' },
    });
    expect(callFailure('start', thrown)).toMatchObject({
      code: 'container-removed',
      message: 'No such container: x',
      data: { status: 404 },
    });
    expect(callFailure('start', Object.assign(thrown, { json: null }))).toMatchObject({ message: 'No such container: x' });
  });

  it('does not take a defect for an outage', () => {
    expect(callFailure('start', new TypeError('x is undefined')).code).toBe('internal');
  });

  it('leaves our own errors as they are', () => {
    const error = new RelightError('engine-too-old', 'x');
    expect(callFailure('other', error)).toBe(error);
  });
});
