/** Where init leaves the operator token for `relight` on the same machine. */
import { configBytesMax, readDescriptorSync } from '@relight/shared/bounded-read';
import { errorMessage } from '@relight/shared/errors';
import { closeSync, constants, fchmodSync, fstatSync, fsyncSync, ftruncateSync, openSync, rmSync, writeSync } from 'node:fs';
import { stringify } from 'yaml';
import type { CollectorConfig } from '../config.ts';

interface Content {
  readonly url: string;
  readonly token: string;
  readonly fingerprint: string | null;
  /** Absolute. */
  readonly caFile: string | null;
}

export interface OperatorPlace {
  /** Never fails: the token is printed as well. `file` null: none was written, and `problem` says why if one was wanted. */
  write(content: Content): { readonly file: string | null; readonly problem: string | null };
  /** Takes an empty file away again. */
  close(): void;
}

/** By this line a purge of the package knows it, too (debian/postrm). */
export const operatorFileHead = `# Made by relight-collector init, for relight on this machine. For its owner alone: the token may do everything.\n`;

/**
 * Opened at once: when the token is there, this process may have become another account, which cannot. One that is there is replaced only if it
 * is of the same address, for what it holds is good no more; another one is somebody's.
 */
export function operatorPlace(file: string | null): OperatorPlace {
  if (file === null) return { write: () => ({ file: null, problem: null }), close: () => undefined };
  let descriptor: number;
  let before: string;
  try {
    descriptor = openSync(file, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK, 0o600);
    try {
      before = String(readDescriptorSync(descriptor, configBytesMax, { patienceMs: 0 }));
    } catch (thrown) {
      closeSync(descriptor);
      throw thrown;
    }
  } catch (thrown) {
    const problem = `${file} could not be written, relight has to be told the token by hand: ${errorMessage(thrown)}`;
    return { write: () => ({ file: null, problem }), close: () => undefined };
  }
  let written = false;
  return {
    write({ url, token, fingerprint, caFile }) {
      if (before.trim() !== '' && !before.split('\n').includes(stringify({ url }).trim())) {
        return { file: null, problem: `${file} is there already, of another address than ${url}, and was left as it is` };
      }
      try {
        // As another account it is not ours to change, and need not be: made here, it is so.
        if ((fstatSync(descriptor).mode & 0o777) !== 0o600) fchmodSync(descriptor, 0o600);
        ftruncateSync(descriptor);
        const trust = { ...(fingerprint === null ? {} : { fingerprint }), ...(caFile === null ? {} : { ca_file: caFile }) };
        writeSync(descriptor, operatorFileHead + stringify({ url, token, ...trust }), 0);
        fsyncSync(descriptor);
        written = true;
        return { file, problem: null };
      } catch (thrown) {
        return { file: null, problem: `${file} could not be written: ${errorMessage(thrown)}` };
      }
    },
    close() {
      closeSync(descriptor);
      // May fail where this has become another account: an empty one counts as none.
      if (!written && before === '') {
        try {
          rmSync(file);
        } catch {}
      }
    },
  };
}

/** How this machine itself reaches it: the name that hosts use may lead somewhere else from here. `known`: the certificate is pinned. */
export function localUrl({ listen: { host, port } }: CollectorConfig, url: string, known: boolean): string {
  if (port === 0) return url;
  const local = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return `${known ? 'https' : 'http'}://${local.includes(':') ? `[${local}]` : local}:${port}`;
}
