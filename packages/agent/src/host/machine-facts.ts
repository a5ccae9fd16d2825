/**
 * Facts that systeminformation finds out: whose machine it is, whether it is a virtual one, its GPUs. The library costs 11 MB
 * of resident memory once it is loaded (measured on Node 24) and runs programs without a deadline (lspci, nvidia-smi,
 * dmidecode), so it lives in a short-lived child that may be killed. Of the library only what reads hardware is called: fsSize
 * hangs on a dead mount and currentLoad blocks.
 */
import type { HostFacts } from '@relight/shared/status';
import type { Systeminformation } from 'systeminformation';

/** In the child. */
export async function lookAtMachine(): Promise<HostFacts> {
  const library = await import('systeminformation');
  const [system, cpu, graphics] = await Promise.all([library.default.system(), library.default.cpu(), library.default.graphics()]);
  return machineFacts({ system, cpu, graphics });
}

interface Found {
  readonly system: Pick<Systeminformation.SystemData, 'manufacturer' | 'model' | 'virtual' | 'virtualHost'>;
  readonly cpu: Pick<Systeminformation.CpuData, 'physicalCores'>;
  readonly graphics: { readonly controllers: readonly Pick<Systeminformation.GraphicsControllerData, 'vendor' | 'model' | 'name'>[] };
}

/** What the library says when it does not know. */
const unknown: ReadonlySet<string> = new Set(['', '-', 'Computer']);

export function machineFacts({ system, cpu, graphics }: Found): HostFacts {
  const { manufacturer, model, virtual, virtualHost = '' } = system;
  const gpus = graphics.controllers.map(({ name, vendor, model: chip }) => name ?? `${vendor} ${chip}`.trim()).filter((gpu) => gpu !== '');
  return {
    ...(unknown.has(manufacturer) ? {} : { manufacturer }),
    ...(unknown.has(model) ? {} : { model }),
    ...(virtual ? { virtualization: virtualHost === '' ? 'yes' : virtualHost } : {}),
    ...(cpu.physicalCores > 0 ? { physicalCores: cpu.physicalCores } : {}),
    ...(gpus.length > 0 ? { gpus } : {}),
  };
}
