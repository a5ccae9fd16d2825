/** Where state can live at all. */

/** File systems of the kernel: nothing can be kept there, and below /proc Node's `mkdir -p` never returns. */
const kernelTrees = ['/proc', '/sys', '/dev'] as const;

/** @param path absolute and normal; undefined: it may be used */
export function stateDirProblem(path: string): string | undefined {
  const tree = kernelTrees.find((root) => path === root || path.startsWith(`${root}/`));
  return tree === undefined ? undefined : `"${path}" cannot hold state; ${tree} belongs to the kernel`;
}
