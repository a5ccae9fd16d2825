/** What `nvidia-smi` says when it has no report. Pure; the same words come from the host's and from a container's. */

export type GpuFault =
  /** The loaded kernel module and the installed libraries are of two versions. */
  | 'driver-mismatch'
  /** There is no driver to talk to. */
  | 'no-driver'
  /** A card has left the bus or does not answer any more. */
  | 'gpu-lost'
  /** NVML says "Unknown Error": in a container, its right to the devices is gone. */
  | 'nvml-unknown'
  | 'no-devices'
  | 'other';

const patterns: readonly (readonly [GpuFault, RegExp])[] = [
  ['driver-mismatch', /Driver\/library version mismatch/i],
  ['gpu-lost', /GPU is lost|fallen off the bus|Unable to determine the device handle/i],
  ['nvml-unknown', /Failed to initialize NVML: Unknown Error/i],
  ['no-driver', /couldn't communicate with the NVIDIA driver|Driver Not Loaded|NVML: Driver is not loaded|NVML library not found/i],
  ['no-devices', /No devices (?:were )?found/i],
];

/** Return codes as nvidia-smi(1) lists them. */
const codes: Readonly<Record<number, GpuFault>> = { 6: 'no-devices', 9: 'no-driver', 12: 'no-driver', 15: 'gpu-lost' };

export function gpuFaultOf(exitCode: number | null, output: string): GpuFault {
  return patterns.find(([, pattern]) => pattern.test(output))?.[0] ?? codes[exitCode ?? 0] ?? 'other';
}

/** The card that a message is about, as the kernel writes its address: `0000:3b:00.0`; '' when it names none. */
export function pciAddressIn(text: string): string {
  const match = /(?:([\da-f]{4,8}):)?([\da-f]{2}:[\da-f]{2}\.\d)/i.exec(text);
  return match === null ? '' : `${(match[1] ?? '0000').slice(-4)}:${match[2]}`.toLowerCase();
}
