/**
 * `nvidia-smi -q -x` → GpuReport. Pure; never throws, whatever the text is. Between the driver generations (nvsmi_device v9 to
 * v13) elements were renamed; both names are read.
 */
import sax, { type SAXParser } from 'sax';
import type { EccCounts, GpuProcess, GpuReading, GpuReport } from './gpu-report.ts';

/** No host has more; a document that says so is not to be kept. */
const gpusMax = 64;
const processesMax = 4_096;
/** Of one GPU. A real one has about 300. */
const fieldsMax = 2_000;
const textMax = 512;

/** Text by path below <gpu>: `ecc_errors/volatile/dram_uncorrectable`. */
type Fields = Map<string, string>;

interface GpuElement {
  readonly id: string;
  readonly fields: Fields;
  readonly processes: Fields[];
  migDevices: number;
}

interface Document {
  readonly head: Fields;
  readonly gpus: GpuElement[];
  closed: boolean;
}

export function parseNvidiaXml(text: string): GpuReport {
  const { head, gpus, closed } = read(withoutClocks(text));
  return {
    driverVersion: head.get('driver_version') ?? '',
    cudaVersion: head.get('cuda_version') ?? '',
    attached: quantity(head.get('attached_gpus'), ''),
    gpus: gpus.map(reading),
    complete: closed,
  };
}

/** Nine tenths of the document (120 KB a card) list every clock a card could run at. Nobody needs them. */
function withoutClocks(text: string): string {
  const [open, close] = ['<supported_clocks>', '</supported_clocks>'];
  let kept = '';
  for (let from = 0; ;) {
    const start = text.indexOf(open, from);
    const end = start < 0 ? -1 : text.indexOf(close, start);
    if (end < 0) return kept + text.slice(from, start < 0 ? undefined : start);
    kept += text.slice(from, start);
    from = end + close.length;
  }
}

function read(text: string): Document {
  const found: Document = { head: new Map(), gpus: [], closed: false };
  const path: string[] = [];
  let gpu: GpuElement | null = null;
  let process: Fields | null = null;
  let content = '';

  const parser = sax.parser(false, { lowercase: true, trim: true, normalize: true });
  const handlers: Partial<SAXParser> = {
    // What cannot be read is skipped: a broken element must not hide the others.
    onerror: () => parser.resume(),
    onopentag: ({ name, attributes: { id } }) => {
      path.push(name);
      content = '';
      if (name === 'gpu' && path.length === 2)
        gpu = { id: typeof id === 'string' ? id : '', fields: new Map(), processes: [], migDevices: 0 };
      else if (name === 'process_info' && gpu !== null) process = new Map();
      else if (name === 'mig_device' && gpu !== null) gpu.migDevices += 1;
    },
    ontext: (part) => {
      content = part.slice(0, textMax);
    },
    onclosetag: (name) => {
      const inGpu = path.slice(2).join('/');
      const target: Fields | null = process ?? (path.includes('mig_device') ? null : gpu === null ? found.head : gpu.fields);
      if (target !== null && content !== '' && target.size < fieldsMax)
        target.set(process !== null || gpu === null ? name : inGpu, content);
      content = '';
      path.pop();
      if (name === 'process_info' && gpu !== null && process !== null) {
        if (gpu.processes.length < processesMax) gpu.processes.push(process);
        process = null;
      }
      if (name === 'gpu' && path.length === 1 && gpu !== null) {
        if (found.gpus.length < gpusMax) found.gpus.push(gpu);
        gpu = null;
      }
      if (name === 'nvidia_smi_log' && path.length === 0) found.closed = text.includes('</nvidia_smi_log>');
    },
  };
  Object.assign(parser, handlers);
  try {
    parser.write(text).close();
  } catch {
    // Not closed, then.
  }
  // At its end the reader closes what is open; what the text has not closed is not whole.
  if (!found.closed) found.gpus.splice(text.split('</gpu>').length - 1);
  return found;
}

function reading({ id, fields, processes, migDevices }: GpuElement, index: number): GpuReading {
  const value = (...names: readonly string[]): string | undefined =>
    names.map((name) => fields.get(name)).find((text) => text !== undefined);
  const known = (...names: readonly string[]): string | undefined => names.map((name) => fields.get(name)).find(says);
  const yes = (name: string): boolean => value(name)?.toLowerCase() === 'yes';
  const active = (name: string): boolean =>
    value(`clocks_event_reasons/clocks_event_reason_${name}`, `clocks_throttle_reasons/clocks_throttle_reason_${name}`) === 'Active';
  const share = quantity(known('utilization/gpu_util'), '%');
  return {
    index,
    uuid: known('uuid') ?? id,
    pciAddress: pciAddress(known('pci/pci_bus_id') ?? id),
    model: known('product_name') ?? 'unknown',
    memoryTotalBytes: mebibytes(value('fb_memory_usage/total')),
    memoryUsedBytes: mebibytes(value('fb_memory_usage/used')),
    utilisation: share === undefined ? undefined : Math.min(1, share / 100),
    temperatureCelsius: quantity(value('temperature/gpu_temp'), 'C'),
    powerWatts: quantity(
      known(
        ...['instant_power_draw', 'power_draw', 'average_power_draw'].map((name) => `gpu_power_readings/${name}`),
        'power_readings/power_draw',
      ),
      'W',
    ),
    eccVolatile: ecc(fields, 'volatile'),
    eccAggregate: ecc(fields, 'aggregate'),
    eccThresholdExceeded: yes('ecc_errors/aggregate/sram_threshold_exceeded') || yes('ecc_errors/unrepairable_memory'),
    remapFailed: yes('remapped_rows/remapped_row_failure'),
    remapPending: yes('remapped_rows/remapped_row_pending'),
    pagesPending: yes('retired_pages/pending_retirement') || yes('retired_pages/pending_blacklist'),
    throttled: [
      ...(active('hw_thermal_slowdown') ? ['thermal' as const] : []),
      ...(active('hw_power_brake_slowdown') ? ['power-brake' as const] : []),
    ],
    recovery: recovery(fields),
    saysRecovery: /^(?:none|reset|reboot|drain.*)$/i.test(value('gpu_recovery_action') ?? ''),
    unreadable: errors(fields),
    migDevices,
    processes: processes.flatMap(processOf),
  };
}

/** `N/A`, `[Not Supported]`, `Requested functionality has been deprecated`: no value, and no error either. */
const says = (text: string | undefined): text is string =>
  text !== undefined &&
  text !== '' &&
  !/^\[?(?:N\/A|Not Supported|Insufficient Permissions|None|.*has been deprecated|.*ERR!.*|.*Unknown Error.*)\]?$/i.test(text);

function quantity(text: string | undefined, unit: string): number | undefined {
  const match = /^(-?\d+(?:\.\d+)?)\s*(\S*)$/.exec(text ?? '');
  if (match === null || (match[2] !== '' && match[2] !== unit)) return undefined;
  const value = Number(match[1]);
  return Number.isFinite(value) ? value : undefined;
}

const mebibytes = (text: string | undefined): number | undefined => {
  const amount = quantity(text, 'MiB');
  return amount === undefined ? undefined : amount * 1024 ** 2;
};

/** `00000000:01:00.0` → `0000:01:00.0`. */
const pciAddress = (text: string): string => text.toLowerCase().replace(/^0{4}(?=[\da-f]{4}:)/, '');

/** Turing and newer count DRAM and SRAM, older ones `double_bit`; since v12.5 SRAM is split in two. */
function ecc(fields: Fields, life: 'volatile' | 'aggregate'): EccCounts | undefined {
  const count = (name: string): number | undefined => quantity(fields.get(`ecc_errors/${life}/${name}`), '');
  const sum = (...names: readonly string[]): number | undefined => {
    const counts = names.map(count).filter((n) => n !== undefined);
    return counts.length === 0 ? undefined : counts.reduce((a, b) => a + b, 0);
  };
  const total = count('double_bit/total');
  const dram = sum('dram_uncorrectable', 'double_bit/device_memory');
  const sram =
    sum('sram_uncorrectable', 'sram_uncorrectable_parity', 'sram_uncorrectable_secded') ??
    (total === undefined ? undefined : Math.max(0, total - (dram ?? 0)));
  return dram === undefined && sram === undefined ? undefined : { dram: dram ?? 0, sram: sram ?? 0 };
}

/** Drivers before 565 have `gpu_reset_status`, newer ones `gpu_recovery_action`; some say it only in the place of a value. */
function recovery(fields: Fields): GpuReading['recovery'] {
  const action = fields.get('gpu_recovery_action')?.toLowerCase() ?? '';
  if (action === 'reset') return 'reset';
  if (action === 'reboot') return 'reboot';
  if (action.startsWith('drain')) return 'drain-and-reset';
  const all = [...fields.values()];
  if (fields.get('gpu_reset_status/reset_required') === 'Yes' || all.some((text) => /GPU requires reset/i.test(text))) return 'reset';
  if (all.some((text) => /GPU is lost/i.test(text))) return 'reboot';
  return fields.get('gpu_reset_status/drain_and_reset_recommended') === 'Yes' ? 'drain-and-reset' : null;
}

const vital: readonly (readonly [name: string, path: string])[] = [
  ['name', 'product_name'],
  ['memory', 'fb_memory_usage/used'],
  ['utilisation', 'utilization/gpu_util'],
  ['temperature', 'temperature/gpu_temp'],
  ['power', 'gpu_power_readings/power_draw'],
  ['power', 'gpu_power_readings/instant_power_draw'],
  ['power', 'power_readings/power_draw'],
  ['performance state', 'performance_state'],
];

const errors = (fields: Fields): string[] => [
  ...new Set(vital.flatMap(([name, path]) => (/ERR!|Unknown Error/.test(fields.get(path) ?? '') ? [name] : []))),
];

function processOf(fields: Fields): GpuProcess[] {
  const pid = quantity(fields.get('pid'), '');
  if (pid === undefined || !Number.isSafeInteger(pid) || pid < 1) return [];
  return [
    {
      pid,
      name: fields.get('process_name') ?? '',
      compute: (fields.get('type') ?? 'C').includes('C'),
      memoryBytes: mebibytes(fields.get('used_memory')),
    },
  ];
}
