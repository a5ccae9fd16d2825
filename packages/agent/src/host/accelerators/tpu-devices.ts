/** The TPUs of this host, from /dev and /sys. A few small directories, read at once; nothing is opened. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';

export interface TpuDevice {
  readonly index: number;
  /** `/dev/accel0`, `/dev/vfio/0`. */
  readonly path: string;
  readonly model: string;
}

export interface DeviceRoots {
  /** Default: /dev */
  readonly dev?: string;
  /** Default: /sys */
  readonly sys?: string;
}

/** PCI ids of Google's vendor number, as JAX's hardware_utils.py lists them. */
const vendor = '0x1ae0';
const models: Readonly<Record<string, string>> = {
  '0x0027': 'TPU v2 or v3',
  '0x005e': 'TPU v4',
  '0x0062': 'TPU v5p',
  '0x0063': 'TPU v5e',
  '0x006f': 'TPU v6e',
  '0x0076': 'TPU 7x',
};

/** /dev/vfio serves any passed-through device: its groups count only where the PCI bus has a TPU in them. */
export function listTpus({ dev = '/dev', sys = '/sys' }: DeviceRoots = {}): readonly TpuDevice[] {
  const chips = tpuChips(sys);
  const accel = numbered(names(dev), /^accel(\d+)$/).map(({ number, name }) => ({ number, path: `/dev/${name}`, model: undefined }));
  const groups = numbered(names(`${dev}/vfio`), /^(\d+)$/).flatMap(({ number, name }) => {
    const chip = chips.find(({ group }) => group === name);
    return chip === undefined ? [] : [{ number, path: `/dev/vfio/${name}`, model: chip.model }];
  });
  // Habana's cards have /dev/accel, too, as a directory; flat numbered nodes are Google's, and the bus names the model.
  const nodes = accel.length > 0 ? accel : groups;
  return nodes
    .toSorted((a, b) => a.number - b.number)
    .map(({ path, model }, index) => ({ index, path, model: model ?? chips[0]?.model ?? 'TPU' }));
}

function tpuChips(sys: string): readonly { readonly model: string; readonly group: string }[] {
  const devices = `${sys}/bus/pci/devices`;
  return names(devices).flatMap((address) => {
    if (text(`${devices}/${address}/vendor`) !== vendor) return [];
    const model = models[text(`${devices}/${address}/device`)];
    return model === undefined ? [] : [{ model, group: basename(link(`${devices}/${address}/iommu_group`)) }];
  });
}

function numbered(all: readonly string[], form: RegExp): { readonly number: number; readonly name: string }[] {
  return all.flatMap((name) => {
    const number = form.exec(name)?.[1];
    return number === undefined ? [] : [{ number: Number(number), name }];
  });
}

/** What is not there is empty: most hosts have no TPU. */
function names(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function text(file: string): string {
  try {
    return readFileSync(file, 'latin1').trim();
  } catch {
    return '';
  }
}

function link(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}
