/**
 * From what the engine says to a code of the catalogue. Pure. The engine has no error codes of its own, only a status and
 * a sentence, so the sentences of Docker Engine 20.10 to 28 are recognised here and nowhere else.
 */
import { errorMessage, RelightError, toRelightError, type ErrorCode } from '@relight/shared/errors';

/** What was being asked; it decides what an otherwise unknown refusal means. */
export type CallKind = 'create' | 'start' | 'exec' | 'pull' | 'other';

interface Rule {
  readonly when: RegExp;
  readonly code: ErrorCode;
  readonly kinds?: readonly CallKind[];
  readonly advice?: string;
}

/** First match wins. */
const rules: readonly Rule[] = [
  // A daemon that is going down, or whose containerd is away, refuses with 500: that says nothing about the container.
  {
    when: /code = Unavailable|transport is closing|ttrpc: closed|server is shutting down|daemon is shutting down|containerd\.sock: connect/i,
    code: 'engine-unreachable',
  },
  { when: /no space left on device|disk quota exceeded/i, code: 'disk-full' },
  // Another container, whose namespace this one shares, is what is missing.
  { when: /joining network namespace|cannot join (?:network|IPC|PID) of/i, code: 'start-failed', kinds: ['start'] },
  { when: /no such container|marked for removal/i, code: 'container-removed' },
  { when: /port is already allocated|address already in use/i, code: 'port-taken' },
  { when: /container name .* is already in use/i, code: 'name-conflict' },
  { when: /no such image|reference does not exist/i, code: 'image-not-found' },
  {
    when: /could not select device driver|nvidia-container-cli|unresolvable CDI devices/i,
    code: 'device-missing',
    advice: 'Check the GPU driver and the NVIDIA container toolkit on this host (nvidia-smi).',
  },
  // What stands there and cannot even be looked at: the engine takes it for absent, and cannot make it either.
  {
    when: /error while creating mount source path '[^']*': mkdir .*: file exists|transport endpoint is not connected/i,
    code: 'device-missing',
    advice:
      'What its volumes name cannot be looked at on the host. A FUSE mount that is dead: umount -l it there and mount it again. A symbolic link that leads nowhere: mend it. It is tried again by itself.',
  },
  {
    when: /error gathering device information|bind source path does not exist|error while creating mount source path|error mounting ".*" to rootfs|no such device\b/i,
    code: 'device-missing',
  },
  // The exec is forgotten with its container.
  { when: /container \S+ is not running|no such exec instance/i, code: 'container-exited' },
  {
    when: /executable file not found|exec: .*no such file or directory/i,
    code: 'start-failed',
    kinds: ['start'],
    advice: 'The image does not have this program: correct command or entrypoint.',
  },
  {
    when: /exec: .*permission denied/i,
    code: 'start-failed',
    kinds: ['start'],
    advice: 'The command is no executable file: correct command or entrypoint.',
  },
];

const fallback: Readonly<Record<CallKind, (status: number) => ErrorCode>> = {
  // A 5xx may pass by itself; a 4xx is about what was asked.
  create: (status) => (status < 500 ? 'create-rejected' : 'engine-error'),
  start: () => 'start-failed',
  exec: () => 'exec-failed',
  pull: () => 'image-pull-failed',
  other: () => 'engine-error',
};

/** An answer of the engine that is not a success. `name-conflict` carries the holder's id as `data.holderId`. */
export function refusal(kind: CallKind, status: number, message: string): RelightError {
  const rule = rules.find(({ when, kinds }) => when.test(message) && (kinds === undefined || kinds.includes(kind)));
  const code = rule?.code ?? (status === 503 ? 'engine-unreachable' : fallback[kind](status));
  const holderId = /by container "?([0-9a-f]{12,64})/.exec(message)?.[1];
  return new RelightError(code, message, {
    data: { status, ...(code === 'name-conflict' && holderId !== undefined ? { holderId } : {}) },
    ...(rule?.advice === undefined ? {} : { advice: rule.advice }),
  });
}

/**
 * Docker 20.10 with `"bridge": "none"`: what was started a second time cannot be renamed before it is dead. Of any other refusal (a disk that
 * is read-only, an I/O error) nobody knows whether it ends then.
 */
export const refusesToRenameWhileRunning = ({ code, message }: RelightError): boolean =>
  code === 'engine-error' && /sandbox .* not found/i.test(message);

/** A failed pull, as HTTP answer or inside the progress stream; `status` is 0 there. */
export function pullFailure(message: string, status = 0): RelightError {
  const code = pullCode(message);
  // A registry that hides what exists gives one answer for "no such image" and for "not for you".
  const advice = /pull access denied/i.test(message) ? 'Correct the image name, or log in to the registry on this host.' : undefined;
  return new RelightError(code, message, { data: { status }, ...(advice === undefined ? {} : { advice }) });
}

function pullCode(message: string): ErrorCode {
  if (/no space left on device|disk quota exceeded/i.test(message)) return 'disk-full';
  if (/toomanyrequests|rate limit/i.test(message)) return 'image-pull-failed';
  if (/unauthorized|authentication required|pull access denied|access denied|no basic auth credentials|\b403\b/i.test(message)) {
    return 'image-unauthorized';
  }
  const absent =
    /manifest unknown|manifest for .* not found|name unknown|not found: name|no matching manifest|invalid reference format|does not exist/i;
  return absent.test(message) ? 'image-not-found' : 'image-pull-failed';
}

/** Whatever the client threw: an answer of the engine, or no answer at all, which is `engine-unreachable`. */
export function callFailure(kind: CallKind, thrown: unknown): RelightError {
  if (thrown instanceof RelightError) return thrown;
  const { code, statusCode, json } = thrown as { code?: unknown; statusCode?: number; json?: { message?: unknown } | null };
  if (statusCode === undefined) {
    // What sockets, streams and the HTTP parser throw has a code; anything else is a defect of ours and must not look like an outage.
    if (typeof code !== 'string') return toRelightError(thrown);
    const denied = code === 'EACCES';
    return new RelightError('engine-unreachable', errorMessage(thrown), {
      cause: thrown,
      ...(denied ? { advice: 'Run the agent as root, or let its user use the socket of the engine.' } : {}),
    });
  }
  const message = typeof json?.message === 'string' ? json.message : stripStatus(errorMessage(thrown));
  return kind === 'pull' ? pullFailure(message, statusCode) : refusal(kind, statusCode, message);
}

/** dockerode writes `(HTTP code 404) no such container - MESSAGE `. */
const stripStatus = (message: string): string => message.replace(/^\(HTTP code \d+\) .*? - /, '').trim();
