/**
 * Pure. What the engine says, it says to whoever knows engines: `Get "https://…/v2/": dial tcp: lookup … no such host`. Who reads of it
 * in an incident must learn first what could not be done, and why; the engine's own sentence follows.
 */
import { RelightError, type ErrorCode } from '@relight/shared/errors';
import type { OpKind } from '../supervisor/op.ts';

const pullReasons: readonly (readonly [RegExp, string])[] = [
  [/no such host|server misbehaving|temporary failure in name resolution/i, 'the name of its registry cannot be resolved'],
  [/connection refused/i, 'its registry refuses connections'],
  [/no route to host|network is unreachable/i, 'there is no way to its registry'],
  [/i\/o timeout|deadline exceeded|handshake timeout|Client\.Timeout|request canceled/i, 'its registry does not answer'],
  [/x509|certificate|server gave HTTP response to HTTPS client/i, 'the engine does not trust its registry'],
  [/toomanyrequests|rate limit/i, 'its registry limits how often this host may pull'],
  [/HTTP status: 5\d\d|internal server error|bad gateway|service unavailable/i, 'its registry has a failure of its own'],
  [/pull access denied/i, 'its registry knows no such image, or this host may not have it'],
  [/unauthorized|authentication required|denied|no basic auth|\b403\b/i, "its registry refuses this host's login"],
  [/no matching manifest/i, 'there is none for the processor of this host'],
  [/invalid reference format/i, 'this is no name of an image'],
  [/manifest|not found|name unknown|does not exist/i, 'its registry has no such image or tag'],
  [/no space left|quota exceeded/i, 'the disk of the engine is full'],
];

/** Words of ours begin otherwise, and say it themselves. */
const engineCodes: ReadonlySet<ErrorCode> = new Set([
  'create-rejected',
  'start-failed',
  'device-missing',
  'port-taken',
  'disk-full',
  'engine-error',
]);
const pullCodes: ReadonlySet<ErrorCode> = new Set(['image-pull-failed', 'image-unauthorized', 'image-not-found', 'disk-full']);

/** The image cannot be had, or not now; anything else says nothing about it. */
export const isPullFailure = (code: ErrorCode): boolean => pullCodes.has(code);

/** The failure of an operation of the engine, with a beginning for a person; everything else as it is. */
export function inPlainWords(kind: OpKind, image: string, thrown: unknown): unknown {
  if (!(thrown instanceof RelightError)) return thrown;
  if (kind === 'pull' && pullCodes.has(thrown.code)) {
    const reason = pullReasons.find(([pattern]) => pattern.test(thrown.message))?.[1];
    const why = reason === undefined ? thrown.message : `${reason} (${thrown.message})`;
    return reworded(thrown, `the image ${image} could not be pulled: ${why}`);
  }
  const { port, holder } = thrown.data;
  if (kind === 'start' && typeof port === 'number') {
    const who = typeof holder === 'string' ? `is held by ${holder}` : 'is taken';
    return reworded(thrown, `the container could not be started: port ${port} of this host ${who} (${thrown.message})`);
  }
  if (kind === 'create' && engineCodes.has(thrown.code)) return reworded(thrown, `the container could not be created: ${thrown.message}`);
  if (kind === 'start' && engineCodes.has(thrown.code)) return reworded(thrown, `the container could not be started: ${thrown.message}`);
  return thrown;
}

function reworded(error: RelightError, message: string): RelightError {
  const { code, recoverable, advice, data } = error;
  return new RelightError(code, message, { cause: error, recoverable, advice, data: { ...data } });
}
