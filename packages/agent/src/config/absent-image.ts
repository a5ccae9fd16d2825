/** Pure. What it costs to give a workload that runs a new container of an image that is not on this host. */
import type { ContainerSpec } from './spec.ts';

export function downWithout({ image, pullPolicy }: Pick<ContainerSpec, 'image' | 'pullPolicy'>): string {
  if (pullPolicy === 'never')
    return `the image ${image} is not on this host, and pull_policy is never: the container that runs is stopped all the same, and the workload held. Before: docker load or docker pull it`;
  return `the image ${image} is not on this host: the container that runs is stopped before it is pulled, and the workload is down until it is here. Before: docker pull ${image}`;
}
