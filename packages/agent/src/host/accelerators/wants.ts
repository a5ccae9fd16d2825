/** Pure: which accelerators a container is given. */
import type { ContainerSpec } from '../../config/spec.ts';

/** `gpus`, the NVIDIA runtime, or its devices by name. A privileged container alone has the devices and no driver library. */
export const usesGpus = ({ gpus, runtime, devices }: Pick<ContainerSpec, 'gpus' | 'runtime' | 'devices'>): boolean =>
  gpus !== undefined || runtime === 'nvidia' || devices.some(({ source }) => source.startsWith('/dev/nvidia'));

const tpuPath = /^\/dev\/(?:accel\d+|vfio(?:\/.*)?|)$/;

/** By name, or with all devices of the host. Says nothing about whether the host has TPUs. */
export const usesTpus = ({ privileged, devices, volumes }: Pick<ContainerSpec, 'privileged' | 'devices' | 'volumes'>): boolean =>
  privileged || [...devices, ...volumes].some(({ source, target }) => tpuPath.test(source) || tpuPath.test(target));
