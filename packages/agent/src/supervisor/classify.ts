/**
 * What the last words of a run say about its failure: a stable code, at which level it is mended, and how often trying again
 * is worth it. Pure. The sentences are those of Ray 2.9 to 2.60, libtpu, the NVIDIA tools, gcsfuse 2 and 3, libfuse and rclone.
 */
import { catalogue, type ErrorCode } from '@relight/shared/errors';

export type RunKind = 'process' | 'mount' | 'setup';

export interface Classification {
  readonly code: ErrorCode;
  readonly level: 'process' | 'container' | 'host';
  /** False: trying again without a change is useless. */
  readonly recoverable: boolean;
  readonly advice: string;
  /** The line that told, shortened. */
  readonly cause: string;
}

interface Rule {
  readonly code: ErrorCode;
  readonly kinds: readonly RunKind[];
  readonly when: RegExp;
  /** How many of the last lines count: a word such as "401" far above the end explains nothing. */
  readonly within?: number;
  readonly level?: Classification['level'];
  readonly advice?: string;
}

const every: readonly RunKind[] = ['process', 'mount', 'setup'];
/** Accelerator runtimes go on talking for pages after the line that counts. */
const farBack = 200;
const nearEnd = 30;

/** First match wins: what is certain stands before what is vague. */
const rules: readonly Rule[] = [
  { code: 'version-mismatch', kinds: ['process'], within: farBack, when: /Version mismatch: The cluster was started with/ },
  {
    code: 'gpu-driver-mismatch',
    kinds: every,
    within: farBack,
    level: 'host',
    when: /driver\/library version mismatch|CUDA driver version is insufficient for CUDA runtime version|kernel version [\d.]+ does not match DSO version/i,
  },
  {
    code: 'gpu-lost',
    kinds: ['process', 'setup'],
    within: farBack,
    level: 'container',
    when: /Failed to initialize NVML: Unknown Error/i,
  },
  {
    code: 'tpu-busy',
    kinds: ['process', 'setup'],
    within: farBack,
    when: /open\(\/dev\/(?:vfio|accel)|Couldn't open iommu group|Failed to initialize TPU system|The TPU is already in use by process|No accelerator found|libtpu_lockfile/,
  },
  {
    // After the busy TPU: of the two, that one is this host's own. Ray says "Socket closed" of its head, with these words before it.
    code: 'slice-peer-failed',
    kinds: ['process'],
    within: farBack,
    when: /PollForError|(?<!RPC Error message: )\bSocket closed\b/,
  },
  // Before the full disk: gcsfuse stages writes in --temp-dir, and says so.
  {
    code: 'disk-full',
    kinds: ['mount'],
    when: /no space left on device|errno[ =]*28\b|ENOSPC/i,
    advice: 'Free disk space, or give the mount another --temp-dir: writes are staged there.',
  },
  {
    code: 'disk-full',
    kinds: ['process', 'setup'],
    within: nearEnd,
    when: /no space left on device|\[Errno 28\]|ENOSPC|disk quota exceeded/i,
  },
  {
    code: 'stale-session',
    kinds: ['process'],
    within: farBack,
    when: /node_ip_address\.json/,
  },
  {
    code: 'address-in-use',
    kinds: ['process'],
    within: nearEnd,
    when: /address already in use|EADDRINUSE|port \d+ is already (?:in use|allocated)|Ray is trying to start at .* but is already running|cannot listen on port \d+/i,
  },
  {
    code: 'auth-failed',
    kinds: ['process'],
    within: nearEnd,
    when: /\b401\b.{0,40}unauthori[sz]ed|returned error: 401\b|(?:HTTP|status)(?: (?:Error|code))?:? ?401\b|\bUNAUTHENTICATED\b|invalid (?:or missing )?authentication token|(?:auth|token)[\w ./-]{0,80}(?:file|token)[^\n]{0,80}(?:permission denied|no such file|cannot be read|not found|is empty)|AuthenticationError/i,
  },
  {
    code: 'fuse-missing',
    kinds: ['mount'],
    when: /\/dev\/fuse: (?:No such file|Operation not permitted|Permission denied)|fuse:? device not found|failed to open \/dev\/fuse/i,
    advice: 'Give the container the device /dev/fuse (devices: [/dev/fuse]) or privileged: true; on the host: modprobe fuse.',
  },
  {
    code: 'fuse-missing',
    kinds: ['mount'],
    when: /fusermount3?["']?: (?:executable file not found|not found|No such file)|exec: "?fusermount3?"?: /i,
    advice: 'Install fuse or fuse3 in the image: fusermount is missing.',
  },
  {
    code: 'fuse-missing',
    kinds: ['mount'],
    when: /mount failed: (?:Operation not permitted|Permission denied)|fuse: mount failed: (?:Operation not permitted|Permission denied)|mount: .*Operation not permitted/i,
    advice: 'Mounting needs cap_add: [SYS_ADMIN] and, where AppArmor is on, security_opt: [apparmor=unconfined]; or privileged: true.',
  },
  {
    code: 'bucket-unknown',
    kinds: ['mount'],
    when: /bucket (?:doesn't|does not) exist|bucket not found|unknown bucket|storage: bucket doesn't exist|NoSuchBucket/i,
  },
  {
    code: 'credentials-rejected',
    kinds: ['mount'],
    when: /could not find default credentials|(?:detect|fetching) credentials|\bError 401: |invalid_grant|invalid_client|unable to (?:parse|read) (?:the )?(?:key|credentials)|NewTokenSource|no such file.*(?:key-file|\.json)|(?:key-file|\.json).*no such file/i,
    advice: 'Check the credentials inside the container: service account, key file, scopes.',
  },
  {
    code: 'credentials-rejected',
    kinds: ['mount'],
    when: /does not have (?:storage\.|permission)|\b(?:401|403)\b.{0,200}(?:forbidden|unauthorized|denied)|permission ['"]?storage\./i,
    advice: 'Let the service account read the bucket (roles/storage.objectViewer or objectAdmin).',
  },
];

const causeMax = 300;

/** gcsfuse 3.13 complains about the credentials of its metrics and traces at every mount outside of Google's cloud. */
const telemetry = /gcpexporter|setting up tracing/;

/** Killed from outside, the last words explain nothing: SIGKILL, SIGTERM, and ends that nobody could read. */
const fromOutside: ReadonlySet<number | null> = new Set([null, 0, 137, 143]);

/**
 * Null: nothing that is known.
 *
 * @param lines the last lines that the run wrote, oldest first
 */
export function classify(kind: RunKind, lines: readonly string[], exitCode: number | null): Classification | null {
  if (kind === 'process' && fromOutside.has(exitCode)) return null;
  const said = kind === 'mount' ? lines.filter((line) => !telemetry.test(line)) : lines;
  for (const rule of rules) {
    if (!rule.kinds.includes(kind)) continue;
    const cause = said.slice(-(rule.within ?? nearEnd)).findLast((line) => rule.when.test(line));
    if (cause === undefined) continue;
    const { recoverable, advice } = catalogue[rule.code];
    return {
      code: rule.code,
      level: rule.level ?? 'process',
      recoverable,
      advice: rule.advice ?? advice,
      cause: cause.trim().slice(0, causeMax),
    };
  }
  return null;
}

/** The port of an `address-in-use` line; null when it names none. */
export function portOf(cause: string): number | null {
  const bind = /(?:Bind for|bind|listen \w+4?6?) [^\s]*:(\d{1,5})\b/.exec(cause);
  const match = bind ?? /(?:[:'"\s(,]|port )(\d{2,5})(?=\D*$)/.exec(cause.replaceAll(/\[?errno[ =]*\d+\]?/gi, ''));
  const port = Number(match?.[1]);
  return Number.isInteger(port) && port > 0 && port <= 65_535 ? port : null;
}

/**
 * How often a failure with this code is tried again before a person is asked. Absent: as often as the policy says. Counted
 * over failures of that code without a stable run in between.
 */
export const retryLimit: Readonly<Partial<Record<ErrorCode, number>>> = {
  // With the secret read anew.
  'auth-failed': 1,
  // With everything purged that earlier runs left.
  'address-in-use': 1,
  // With the container made anew.
  'port-taken': 1,
  // With the stale session set aside.
  'stale-session': 1,
  // With orphans of our own dead container killed, and the lock file gone.
  'tpu-busy': 1,
};

/** What the next start has to put right before it starts. */
export const remedied: ReadonlySet<ErrorCode> = new Set(['stale-session', 'tpu-busy', 'address-in-use']);
