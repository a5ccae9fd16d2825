/** What the driver says of the GPUs of this host, in our words. Undefined: the driver does not say (N/A, not supported). */

export interface GpuProcess {
  /** Of the host. */
  readonly pid: number;
  readonly name: string;
  /** A compute process, not only one that draws. */
  readonly compute: boolean;
  readonly memoryBytes: number | undefined;
}

export interface EccCounts {
  readonly dram: number;
  readonly sram: number;
}

export interface GpuReading {
  /** Its place in the list, as `nvidia-smi` numbers them. */
  readonly index: number;
  /** `GPU-5c7e…`; the PCI address where the driver cannot tell. */
  readonly uuid: string;
  /** As the kernel writes it in Xid lines, in lower case: `0000:01:00.0`. */
  readonly pciAddress: string;
  readonly model: string;
  readonly memoryTotalBytes: number | undefined;
  readonly memoryUsedBytes: number | undefined;
  /** 0…1 */
  readonly utilisation: number | undefined;
  readonly temperatureCelsius: number | undefined;
  readonly powerWatts: number | undefined;
  /** Errors that could not be corrected: since the driver was loaded, and in the card's life. */
  readonly eccVolatile: EccCounts | undefined;
  readonly eccAggregate: EccCounts | undefined;
  /** The card itself says that it has had too many. */
  readonly eccThresholdExceeded: boolean;
  readonly remapFailed: boolean;
  readonly remapPending: boolean;
  readonly pagesPending: boolean;
  /** Hardware slow-downs that are active now. */
  readonly throttled: readonly ('thermal' | 'power-brake')[];
  /** What the driver asks for; null: nothing. */
  readonly recovery: 'reset' | 'reboot' | 'drain-and-reset' | null;
  /** Whether the driver is one that says it (565 and newer), so that its silence means something. */
  readonly saysRecovery: boolean;
  /** Fields that must have a value and hold an error: `temperature`. The signature of firmware that hangs. */
  readonly unreadable: readonly string[];
  /** Instances of a partitioned card; 0 when it is whole. */
  readonly migDevices: number;
  readonly processes: readonly GpuProcess[];
}

export interface GpuReport {
  readonly driverVersion: string;
  readonly cudaVersion: string;
  /** The driver's own count; undefined when it does not say. */
  readonly attached: number | undefined;
  readonly gpus: readonly GpuReading[];
  /** False: the document ends in the middle, so that what is missing in it says nothing. */
  readonly complete: boolean;
}
