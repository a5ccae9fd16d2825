/** What the unit of the package lets the service write: the directory that systemd makes for it, and nothing else (ProtectSystem=strict). */
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';

/** StateDirectory= of the unit. */
export const usualDataDir = '/var/lib/relight-collector';

const isBelow = (path: string, above: string): boolean => path === above || path.startsWith(above.endsWith('/') ? above : `${above}/`);
/** ProtectHome=yes shows them empty, and no ReadWritePaths= opens what is below. */
const homes = ['/home', '/root', '/run/user'];

/** What lets the service use `dataDir`. */
export function unitAdvice(dataDir: string): string {
  const path = resolve(dataDir);
  if (homes.some((home) => isBelow(path, home)))
    return 'The unit shows the service no homes (ProtectHome=yes): take a directory elsewhere.';
  return `systemctl edit relight-collector, with ReadWritePaths=${path} in [Service]; make it before (install -d -m 700 -o relight-collector -g relight-collector ${path}), then systemctl restart relight-collector.`;
}

/** Null: this is not started by systemd, or with the directory that its unit opens. */
export function adviceUnderUnit(dataDir: string, env: NodeJS.ProcessEnv): string | null {
  if ((env['INVOCATION_ID'] ?? '') === '' || isBelow(resolve(dataDir), usualDataDir)) return null;
  return `The unit opens ${usualDataDir} alone. ${unitAdvice(dataDir)}`;
}

/** Whether a service under the installed unit, as it is with what was edited, could not write to `dataDir`. False where there is no unit. */
export function isClosedByUnit(dataDir: string): boolean {
  const path = resolve(dataDir);
  if (isBelow(path, usualDataDir)) return false;
  const asked = ['LoadState', 'ProtectSystem', 'ReadWritePaths', 'BindPaths'];
  const { status, stdout } = spawnSync('systemctl', ['show', 'relight-collector', `--property=${asked.join(',')}`], {
    encoding: 'utf8',
    timeout: 5_000,
  });
  if (status !== 0) return false;
  const says = (key: string): string => new RegExp(`^${key}=(.*)$`, 'm').exec(stdout)?.[1] ?? '';
  if (says('LoadState') !== 'loaded' || says('ProtectSystem') !== 'strict') return false;
  const open = [...says('ReadWritePaths').split(' ').filter(Boolean), ...says('BindPaths').split(' ').map(targetOf).filter(Boolean)];
  return !open.some((one) => isBelow(path, one.replace(/^[-+]+/, '')));
}

/** `SOURCE:TARGET:OPTIONS`, or one path for both. */
function targetOf(bind: string): string {
  const [source = '', target = source] = bind.split(':');
  return target;
}
