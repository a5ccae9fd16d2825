/**
 * Pure: from what the driver says (or fails to say) to the health of every GPU, the conditions of the host, and whether a
 * workload that uses GPUs should be started at all.
 */
import type { ErrorCode } from '@relight/shared/errors';
import type { Severity } from '@relight/shared/event';
import type { Accelerator } from '@relight/shared/status';
import type { ReportedCondition } from '../condition-diff.ts';
import { findingsOf, type Finding } from './gpu-findings.ts';
import type { GpuContext, GpuLook } from './gpu-look.ts';
import type { GpuReading } from './gpu-report.ts';

/** Why no workload that uses GPUs is started now. */
export interface GpuBlock {
  readonly code: ErrorCode;
  readonly message: string;
  readonly advice: string;
}

export interface GpuHealth {
  readonly accelerators: readonly Accelerator[];
  readonly conditions: readonly ReportedCondition[];
  readonly block: GpuBlock | null;
}

export function gpuHealth(look: GpuLook, context: GpuContext): GpuHealth {
  const present = look.kind === 'report' ? look.report.gpus : [];
  const absent = context.known.filter(({ uuid }) => !present.some((gpu) => gpu.uuid === uuid));
  const gpus = [...present, ...absent];
  const findings = findingsOf(look, absent, gpus, context);
  const block = findings.find(({ blocks }) => blocks !== undefined);
  return {
    accelerators: gpus.map((gpu) => accelerator(gpu, findings)),
    // The watcher of the kernel log raises Xids itself.
    conditions: findings.filter(({ condition: name }) => name !== 'gpu-xid').map(condition),
    block: block?.blocks === undefined ? null : { code: block.blocks, message: block.reason, advice: block.action },
  };
}

function accelerator(gpu: GpuReading, findings: readonly Finding[]): Accelerator {
  // Whatever the host as a whole has concerns each card, except that others are missing.
  const own = findings.filter((finding) => finding.gpu === gpu.uuid || (finding.gpu === null && finding.condition !== 'gpu-missing'));
  const worst = own.find(({ health }) => health === 'failed') ?? own[0];
  const ecc = gpu.eccVolatile;
  const life = gpu.eccAggregate;
  return {
    kind: 'gpu',
    index: gpu.index,
    id: gpu.uuid,
    model: gpu.model,
    health: worst?.health ?? 'ok',
    reason: own.map(({ reason }) => reason).join('; '),
    action: worst?.action ?? '',
    metrics: defined({
      utilisation: gpu.utilisation,
      memoryUsedBytes: gpu.memoryUsedBytes,
      memoryTotalBytes: gpu.memoryTotalBytes,
      temperatureCelsius: gpu.temperatureCelsius,
      powerWatts: gpu.powerWatts,
      eccUncorrectable: ecc === undefined ? undefined : ecc.dram + ecc.sram,
      eccUncorrectableLifetime: life === undefined ? undefined : life.dram + life.sram,
      processes: gpu.processes.filter(({ compute }) => compute).length,
      migDevices: gpu.migDevices === 0 ? undefined : gpu.migDevices,
    }),
  };
}

const defined = (values: Readonly<Record<string, number | undefined>>): Accelerator['metrics'] =>
  Object.fromEntries(Object.entries(values).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));

const severities: Readonly<Record<Finding['health'], Severity>> = { degraded: 'warning', failed: 'error' };

function condition({ gpu, condition: name, health, reason, action }: Finding): ReportedCondition {
  return { name, subject: gpu ?? '', severity: severities[health], reason, advice: action };
}
