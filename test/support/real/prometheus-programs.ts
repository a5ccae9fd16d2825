/** Prometheus and Alertmanager of Debian, unpacked beside the machine's own programs: nothing is installed, and no service starts. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { unpackPackages } from '../engine-install.ts';
import { cached } from './cache.ts';

/** Part of the name in the cache: raise it when the packages below change. */
const layout = 1;

/** Paths. */
export interface PrometheusPrograms {
  readonly prometheus: string;
  readonly promtool: string;
  readonly alertmanager: string;
  /** What becomes /usr/share for Alertmanager: Debian's reads its templates below it, and nowhere else. */
  readonly share: string;
}

/** A download of 30 MB the first time on a machine, nothing afterwards. */
export async function prometheusPrograms(): Promise<PrometheusPrograms> {
  const codename = /^VERSION_CODENAME=(\w+)$/m.exec(await readFile('/etc/os-release', 'utf8'))?.[1] ?? 'unknown';
  const name = `prometheus-${codename}-${process.arch}-${layout}`;
  const root = await cached(name, (to) => unpackPackages(to, 'prometheus', 'prometheus-alertmanager'));
  return {
    prometheus: join(root, 'usr/bin/prometheus'),
    promtool: join(root, 'usr/bin/promtool'),
    alertmanager: join(root, 'usr/bin/prometheus-alertmanager'),
    share: join(root, 'usr/share'),
  };
}
