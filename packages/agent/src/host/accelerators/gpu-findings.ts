/** Pure: what is wrong with the GPUs, each finding with what a person does about it. */
import type { ErrorCode } from '@relight/shared/errors';
import { pciAddressIn } from './gpu-fault.ts';
import type { GpuContext, GpuLook } from './gpu-look.ts';
import type { GpuReading } from './gpu-report.ts';
import type { KnownXid } from './xid.ts';

/** A slow-down of a moment is how a card protects itself; this many reports in a row (1.5 min) are trouble. */
const throttledReportsMin = 3;

export interface Finding {
  /** The card's uuid; null: the host as a whole. */
  readonly gpu: string | null;
  readonly condition: string;
  readonly health: 'degraded' | 'failed';
  readonly reason: string;
  readonly action: string;
  /** The code with which starts are held, where they are. */
  readonly blocks?: ErrorCode;
}

/** The worst need not stand first. */
export function findingsOf(
  look: GpuLook,
  absent: readonly GpuReading[],
  gpus: readonly GpuReading[],
  context: GpuContext,
): readonly Finding[] {
  return [
    ...(look.kind === 'report' ? ofReport(look, absent, context) : ofSilence(look, context)),
    ...context.xids.map((xid) => ofXid(xid, gpus)),
  ];
}

function ofReport(
  { report, complaint }: Extract<GpuLook, { kind: 'report' }>,
  absent: readonly GpuReading[],
  context: GpuContext,
): Finding[] {
  const { expected, known, throttled } = context;
  const findings = report.gpus.flatMap((gpu) => ofGpu(gpu, throttled.get(gpu.uuid) ?? 0));
  if (complaint?.fault === 'gpu-lost') findings.push(lost(complaint.message, absent));
  if (!report.complete)
    return [
      ...findings,
      host('gpu-probe-failed', 'degraded', 'the report of nvidia-smi ends in the middle', 'Run nvidia-smi -q on the host.'),
    ];
  const present = report.gpus.length;
  const wanted = Math.max(expected ?? known.length, report.attached ?? 0);
  if (present >= wanted) return findings;
  const whose =
    wanted === expected ? 'the configuration expects' : wanted === known.length ? 'since the boot there were' : 'the driver counts';
  return [
    ...findings,
    host(
      'gpu-missing',
      'failed',
      `${present} GPUs answer, ${whose} ${wanted}`,
      'Look for Xid 79 in the kernel log; reboot the host, and replace it if the GPU stays away.',
    ),
    ...absent.map((gpu) =>
      of(gpu, 'gpu-missing', 'failed', 'does not answer any more', 'Reboot the host; replace it if that does not help.'),
    ),
  ];
}

const of = (
  gpu: Pick<GpuReading, 'index' | 'uuid'>,
  name: string,
  health: Finding['health'],
  reason: string,
  action: string,
  blocks?: ErrorCode,
): Finding => ({
  gpu: gpu.uuid,
  condition: name,
  health,
  reason: `GPU ${gpu.index} ${reason}`,
  action,
  ...(blocks === undefined ? {} : { blocks }),
});

function lost(message: string, candidates: readonly GpuReading[]): Finding {
  const address = pciAddressIn(message);
  const advice = 'Reboot the host; replace it if that does not help.';
  const gpu = candidates.find(({ pciAddress }) => pciAddress === address);
  if (gpu !== undefined) return of(gpu, 'gpu-lost', 'failed', 'is lost', advice, 'gpu-failed');
  return host('gpu-lost', 'failed', `${address === '' ? 'a GPU' : `the GPU at ${address}`} is lost`, advice, 'gpu-failed');
}

function ofGpu(gpu: GpuReading, throttledReports: number): Finding[] {
  const found: Finding[] = [];
  const tell = (...rest: [name: string, health: Finding['health'], reason: string, action: string, blocks?: ErrorCode]): void => {
    found.push(of(gpu, ...rest));
  };
  const reset = `nvidia-smi --gpu-reset -i ${gpu.index}, or reboot`;
  if (gpu.recovery === 'reboot')
    tell('gpu-lost', 'failed', 'is lost to the driver', 'Reboot the host; replace it if that does not help.', 'gpu-failed');
  if (gpu.recovery === 'reset') tell('gpu-reset-needed', 'failed', 'must be reset', `Stop what uses it, then ${reset}.`, 'gpu-failed');
  if (gpu.recovery === 'drain-and-reset') tell('gpu-reset-needed', 'degraded', 'should be drained and reset', `Drain it, then ${reset}.`);
  if (gpu.remapFailed) tell('gpu-remap-failed', 'failed', 'has a broken memory row that could not be remapped', returnIt);
  if (gpu.eccThresholdExceeded) tell('gpu-ecc', 'failed', 'has had more memory errors than its maker allows', returnIt);
  if (gpu.remapPending || gpu.pagesPending) {
    const what = gpu.remapPending ? 'memory rows that wait for being remapped' : 'memory pages that wait for their retirement';
    tell('gpu-remap-pending', 'degraded', `has ${what}`, `Reset it when nothing runs: ${reset}.`);
  }
  const errors = (gpu.eccVolatile?.dram ?? 0) + (gpu.eccVolatile?.sram ?? 0);
  if (errors > 0) {
    const advice = `Reset it when nothing runs: ${reset}; replace the host if the count grows again.`;
    tell('gpu-ecc', 'degraded', `has had ${errors} uncorrectable memory errors since the driver was loaded`, advice);
  }
  if (throttledReports >= throttledReportsMin) {
    const advice = gpu.throttled.includes('power-brake') ? 'Look at power supply and cables.' : 'Look at cooling and air flow.';
    tell('gpu-throttled', 'degraded', `is slowed down by its hardware (${gpu.throttled.join(', ')})`, advice);
  }
  if (gpu.unreadable.length > 0)
    tell('gpu-unreadable', 'degraded', `does not tell its ${gpu.unreadable.join(', ')}`, `Its firmware may hang: ${reset}.`);
  return found;
}

const returnIt = 'Replace the host; the card is to be returned.';

const host = (condition: string, health: Finding['health'], reason: string, action: string, blocks?: ErrorCode): Finding => ({
  gpu: null,
  condition,
  health,
  reason,
  action,
  ...(blocks === undefined ? {} : { blocks }),
});

function ofSilence(look: Exclude<GpuLook, { kind: 'report' }>, { needed, known }: GpuContext): Finding[] {
  if (look.kind === 'stuck') {
    return [host('gpu-probe-stuck', 'failed', 'nvidia-smi does not end: the driver hangs', 'Reboot the host.', 'gpu-failed')];
  }
  if (look.kind === 'timeout')
    return [host('gpu-probe-failed', 'degraded', look.message, 'Look at the load of the host and at nvidia-smi.')];
  const { fault, message } = look;
  switch (fault) {
    case 'driver-mismatch':
      return [
        host(
          'gpu-driver-mismatch',
          'failed',
          'the NVIDIA kernel module and libraries are of different versions (an upgrade without a reboot)',
          'Reboot the host, or stop what uses the GPUs and reload the nvidia modules.',
          'gpu-driver-mismatch',
        ),
      ];
    case 'gpu-lost':
      return [lost(message, known)];
    case 'no-driver':
    case 'no-devices':
    case 'nvml-unknown':
    case 'other': {
      // Tools without a card, on a host where nobody wants one, are no trouble.
      if (!needed && known.length === 0) return [];
      return [host('gpu-probe-failed', 'failed', `nvidia-smi fails: ${message}`, 'Run nvidia-smi on the host; load the driver or reboot.')];
    }
  }
}

function ofXid({ code, address, reason, advice, held }: KnownXid, gpus: readonly GpuReading[]): Finding {
  const gpu = gpus.find(({ pciAddress }) => pciAddress === address);
  const which = gpu === undefined ? `the GPU at ${address}` : `GPU ${gpu.index}`;
  return {
    gpu: gpu?.uuid ?? null,
    condition: 'gpu-xid',
    health: held ? 'failed' : 'degraded',
    reason: `${which}: Xid ${code}, ${reason}`,
    action: advice,
    ...(held ? { blocks: 'gpu-failed' as const } : {}),
  };
}
