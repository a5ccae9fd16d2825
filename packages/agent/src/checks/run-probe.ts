import type { ProbeSpec } from '../config/spec.ts';
import { exec } from './exec.ts';
import { gpu } from './gpu.ts';
import { http } from './http.ts';
import type { Probe, ProbeContext, ProbeResult } from './probe.ts';
import { rayNode } from './ray-node.ts';
import { tcp } from './tcp.ts';
import { volumes } from './volumes.ts';

const probes: { readonly [K in ProbeSpec['kind']]: Probe<K> } = { exec, gpu, http, tcp, 'ray-node': rayNode, volumes };

/** Never rejects. */
export function runProbe(spec: ProbeSpec, context: ProbeContext): Promise<ProbeResult> {
  return (probes[spec.kind] as Probe<ProbeSpec['kind']>)(spec, context);
}
