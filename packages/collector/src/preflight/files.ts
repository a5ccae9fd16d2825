/** What the service reads and writes, as this account sees it. Nothing is written. */
import { errorMessage, RelightError } from '@relight/shared/errors';
import { error, ok, warning, type Finding } from '@relight/shared/finding';
import { formatBytes } from '@relight/shared/units';
import { accessSync, constants, existsSync, statfsSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { readTls, tlsFilesOf } from '../access/tls-files.ts';
import type { CollectorConfig } from '../config.ts';
import { isClosedByUnit, unitAdvice, usualDataDir } from '../service-unit.ts';
import { databasePath } from '../store/database.ts';

/** Below this a day of logs fills the disk; the same as for an agent's. */
const freeShareMin = 0.05;
const freeBytesMin = 1024 ** 3;
const dayMs = 86_400_000;
/** As the package makes it; the unit runs as it. */
const serviceAccount = 'relight-collector';
/** From then on the service itself says so every day. */
const expiryWarningMs = 30 * dayMs;

/** `usual`: what the service is started with. A draft elsewhere is its writer's alone, and should be: it may hold secrets of sinks. */
export function checkConfigFile(file: string, usual: string): readonly Finding[] {
  if (resolve(file) !== usual) return [];
  const problem = refused(file, constants.R_OK);
  if (problem === null) return [];
  return [
    error(
      `the account of the service cannot read ${file}: ${problem}`,
      `chgrp ${serviceAccount} ${file} && chmod 640 ${file}; it has to be able to enter ${dirname(file)}, too (chmod 755).`,
    ),
  ];
}

/** As root, who may look wherever it lies. Addresses of sinks may hold secrets, and who writes it decides where alerts go. */
export function checkOpenness(file: string, usual: string): readonly Finding[] {
  const { mode } = statSync(file);
  // The account of the service reads the one that is in its place, and is one of the others where that is root's.
  const close = resolve(file) === usual ? `chgrp ${serviceAccount} ${file} && chmod 640 ${file}` : `chmod o-r ${file}`;
  return [
    ...((mode & 0o022) === 0 ? [] : [warning(`${file}: others than its owner may write it`, `chmod go-w ${file}`)]),
    ...((mode & 0o004) === 0 ? [] : [warning(`${file} can be read by every user: addresses of sinks in it may hold secrets`, close)]),
  ];
}

export function checkDataDir(dataDir: string): readonly Finding[] {
  const at = nearest(resolve(dataDir));
  if (!statSync(at).isDirectory()) return [error(`data_dir ${dataDir}: ${at} is not a directory`, 'Correct data_dir.')];
  const database = databasePath(dataDir);
  const problem =
    refused(at, constants.W_OK | constants.X_OK) ?? (existsSync(database) ? refused(database, constants.R_OK | constants.W_OK) : null);
  if (problem !== null) {
    return [
      error(`data_dir ${dataDir} cannot be written: ${problem}`, 'Give it to the account of the service (chown -R), or correct data_dir.'),
    ];
  }
  const { bavail, blocks, bsize } = statfsSync(at);
  const text = `data_dir ${dataDir} ${at === resolve(dataDir) ? 'is writable' : 'will be made'}, ${formatBytes(bavail * bsize)} free`;
  const closed = isClosedByUnit(dataDir)
    ? [
        warning(
          `data_dir ${dataDir}: the unit relight-collector lets the service write to ${usualDataDir} alone, whoever owns this one`,
          unitAdvice(dataDir),
        ),
      ]
    : [];
  const isFull = bavail * bsize < freeBytesMin || bavail < blocks * freeShareMin;
  const found = isFull
    ? warning(text, 'Free disk space, or lower retention.logs_bytes: what cannot be stored stays on the hosts.')
    : ok(text);
  return [found, ...closed];
}

export function checkCertificate(
  config: Pick<CollectorConfig, 'dataDir' | 'tls'>,
  { host }: CollectorConfig['listen'],
  now: number,
): readonly Finding[] {
  const files = tlsFilesOf(config);
  if (files === null) {
    if (/^(?:127\.|::1$|localhost$)/.test(host)) return [ok('no certificate: plain HTTP, on this machine alone')];
    return [
      warning(
        `no certificate: tokens travel in the clear, and it listens on ${host}`,
        'relight-collector init, or a proxy with TLS in front.',
      ),
    ];
  }
  const { certFile, keyFile } = files;
  try {
    const { validFromDate, validToDate } = readTls(files).certificate;
    const until = validToDate.getTime();
    const renew = config.tls === null ? 'relight-collector certificate renew' : 'Put a new one in its place: it is used within a minute.';
    const text = `the certificate ${certFile}, with its key, is valid until ${validToDate.toISOString()}`;
    if (now > until) return [error(`the certificate ${certFile} expired at ${validToDate.toISOString()}: agents refuse it`, renew)];
    if (now < validFromDate.getTime()) {
      return [
        error(
          `the certificate ${certFile} is not valid before ${validFromDate.toISOString()}`,
          `Set the clock of this machine right, or: ${renew}`,
        ),
      ];
    }
    const open =
      (statSync(keyFile).mode & 0o004) !== 0 ? [warning(`the key ${keyFile} can be read by every user`, `chmod o-r ${keyFile}`)] : [];
    return [until - now < expiryWarningMs ? warning(text, renew) : ok(text), ...open];
  } catch (thrown) {
    if (!(thrown instanceof RelightError)) throw thrown;
    return [error(thrown.message, thrown.advice)];
  }
}

/** The directory, or the first above it that is there. */
function nearest(path: string): string {
  return existsSync(path) || dirname(path) === path ? path : nearest(dirname(path));
}

/** Null: it may be done. */
function refused(path: string, mode: number): string | null {
  try {
    accessSync(path, mode);
    return null;
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === 'EACCES' ? `permission denied (${path})` : errorMessage(thrown);
  }
}
