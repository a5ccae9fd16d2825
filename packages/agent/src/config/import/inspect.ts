/** The engine's inspect document, as far as an import reads it. Everything may be missing: engines leave out what is empty. */

export interface InspectConfig {
  readonly Image?: string;
  readonly Env?: readonly string[];
  readonly Cmd?: readonly string[] | null;
  readonly Entrypoint?: readonly string[] | null;
  readonly Labels?: Readonly<Record<string, string>> | null;
  readonly User?: string;
  readonly WorkingDir?: string;
  readonly StopSignal?: string;
  readonly StopTimeout?: number | null;
  readonly Hostname?: string;
  readonly Tty?: boolean;
  readonly OpenStdin?: boolean;
  readonly Healthcheck?: { readonly Test?: readonly string[] };
}

export interface InspectHost {
  readonly AutoRemove?: boolean;
  readonly Binds?: readonly string[] | null;
  readonly CapAdd?: readonly string[] | null;
  readonly CapDrop?: readonly string[] | null;
  readonly CgroupParent?: string;
  readonly CgroupnsMode?: string;
  readonly CpuQuota?: number;
  readonly CpuShares?: number;
  readonly CpusetCpus?: string;
  readonly DeviceCgroupRules?: readonly string[] | null;
  readonly DeviceRequests?:
    | readonly {
        readonly Count?: number;
        readonly DeviceIDs?: readonly string[] | null;
        readonly Capabilities?: readonly (readonly string[])[];
      }[]
    | null;
  readonly Devices?:
    | readonly { readonly PathOnHost: string; readonly PathInContainer: string; readonly CgroupPermissions: string }[]
    | null;
  readonly Dns?: readonly string[] | null;
  readonly DnsOptions?: readonly string[] | null;
  readonly DnsSearch?: readonly string[] | null;
  readonly ExtraHosts?: readonly string[] | null;
  readonly GroupAdd?: readonly string[] | null;
  readonly Init?: boolean | null;
  readonly IpcMode?: string;
  readonly Links?: readonly string[] | null;
  readonly LogConfig?: { readonly Type?: string; readonly Config?: Readonly<Record<string, string>> | null };
  readonly MaskedPaths?: readonly string[] | null;
  readonly Memory?: number;
  readonly MemoryReservation?: number;
  readonly MemorySwap?: number;
  readonly Mounts?:
    | readonly {
        readonly Type?: string;
        readonly Source?: string;
        readonly Target?: string;
        readonly ReadOnly?: boolean;
        readonly BindOptions?: { readonly Propagation?: string };
      }[]
    | null;
  readonly NanoCpus?: number;
  readonly NetworkMode?: string;
  readonly OomScoreAdj?: number;
  readonly PidMode?: string;
  readonly PidsLimit?: number | null;
  readonly PortBindings?: Readonly<Record<string, readonly { readonly HostIp?: string; readonly HostPort?: string }[] | null>> | null;
  readonly Privileged?: boolean;
  readonly PublishAllPorts?: boolean;
  readonly ReadonlyPaths?: readonly string[] | null;
  readonly ReadonlyRootfs?: boolean;
  readonly RestartPolicy?: { readonly Name?: string };
  readonly Runtime?: string;
  readonly SecurityOpt?: readonly string[] | null;
  readonly ShmSize?: number;
  readonly Sysctls?: Readonly<Record<string, string>> | null;
  readonly Tmpfs?: Readonly<Record<string, string>> | null;
  readonly UTSMode?: string;
  readonly Ulimits?: readonly { readonly Name: string; readonly Soft: number; readonly Hard: number }[] | null;
  readonly UsernsMode?: string;
  readonly VolumesFrom?: readonly string[] | null;
}

export interface InspectDocument {
  readonly Name?: string;
  readonly Config?: InspectConfig;
  readonly HostConfig?: InspectHost;
  readonly NetworkSettings?: { readonly Networks?: Readonly<Record<string, { readonly Aliases?: readonly string[] | null }>> | null };
}

/** `KEY=value` entries → a map. Relight's own variables are left out: it sets them anew. */
export function splitEnvironment(entries: readonly string[], lost: string[]): Readonly<Record<string, string>> {
  const pairs = entries.map((entry): [string, string] => {
    const split = entry.indexOf('=');
    return split < 0 ? [entry, ''] : [entry.slice(0, split), entry.slice(split + 1)];
  });
  const kept = pairs.filter(([key]) => !key.startsWith('RELIGHT_'));
  if (kept.length < pairs.length) lost.push('variables that begin with RELIGHT_: reserved');
  return Object.fromEntries(kept);
}
