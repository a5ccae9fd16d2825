/**
 * The collector that this host has joined: where it is, what it must show, and the token that it gave. One file in the state directory,
 * for the agent's user alone; the agent itself replaces it when it renews the token.
 */
import { agentCredentialSchema } from '@relight/shared/join';
import { errorMessage, RelightError } from '@relight/shared/errors';
import { mkdirSync, rmdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import * as z from 'zod';
import type { AgentSpec, CollectorSpec } from '../config/spec.ts';
import { readIfThere, replaceFileDurably } from '../host/atomic-file.ts';

const joinedSchema = agentCredentialSchema.extend({
  version: z.literal(1),
  url: z.string().min(1),
  /** Of the key or the certificate. Null: authorities are asked. */
  fingerprint: z.string().nullable(),
  caFile: z.string().nullable(),
});
export type Joined = z.infer<typeof joinedSchema>;

export const joinedFile = (stateDir: string): string => join(stateDir, 'collector.json');

/** Null: this host has joined none. Fails with config-unreadable when the file is damaged, or nobody lets us read it. */
export function readJoined(file: string): Joined | null {
  const text = readText(file);
  if (text === null) return null;
  try {
    return joinedSchema.parse(JSON.parse(text.toString('utf8')));
  } catch (cause) {
    // What a parser says quotes the text, and there is a token in it.
    const why = cause instanceof SyntaxError ? 'it is no JSON' : errorMessage(cause);
    throw new RelightError('config-unreadable', `${file} cannot be read: ${why}`, {
      cause,
      advice: 'Join anew: relight-agent join.',
    });
  }
}

function readText(file: string): Buffer | null {
  try {
    return readIfThere(file);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    // Where the state directory is none: whoever needs it says so better.
    if (code === 'ENOTDIR') return null;
    const advice = code === 'EACCES' ? 'Run this command as root.' : 'Look at the file and its disk; else join anew: relight-agent join.';
    throw new RelightError('config-unreadable', `${file} cannot be read: ${errorMessage(cause)}`, { cause, advice });
  }
}

/** Mode 0600, whole or not at all, durable. */
export function writeJoined(file: string, joined: Omit<Joined, 'version'>): void {
  replaceFileDurably(file, `${JSON.stringify({ version: 1, ...joined } satisfies Joined, null, 2)}\n`);
}

/** What undoes it: the directories that were made for it go again, unless somebody has put something there. */
export function makeStateDir(stateDir: string): () => void {
  const first = mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  return () => {
    if (first === undefined) return;
    try {
      for (let directory = resolve(stateDir); directory.length >= resolve(first).length; directory = dirname(directory))
        rmdirSync(directory);
    } catch {
      // Not empty: it is in use.
    }
  };
}

/** The configuration wins; without a collector in it, the joined one counts. */
export function withJoined(spec: AgentSpec, stateDir: string): AgentSpec {
  if (spec.collector !== null) return spec;
  const file = joinedFile(stateDir);
  const joined = readJoined(file);
  if (joined === null) return spec;
  const { url, fingerprint, caFile } = joined;
  return { ...spec, collector: { url, tokenFile: null, caFile, fingerprint, joinedFile: file } };
}

/** Fails with config-unreadable: there must be a token. */
export function joinedToken({ joinedFile: file }: Pick<CollectorSpec, 'joinedFile'>): string | null {
  if (file === null) return null;
  const joined = readJoined(file);
  if (joined !== null) return joined.token;
  throw new RelightError('config-unreadable', `${file} is gone: this host has to join anew`, {
    advice: 'relight-agent join, with a new join token.',
  });
}
