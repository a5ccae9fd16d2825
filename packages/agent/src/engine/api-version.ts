/** Which version of the engine's API to speak. Pure. */
import { RelightError } from '@relight/shared/errors';

/** Docker 20.10: the first with one-shot stats and cgroup v2. */
const floor = '1.41';
/** The newest that the contract suite has been run against; newer engines speak it too. */
const tested = '1.47';

/** The lower of the engine's and the tested one, but nothing that the engine has dropped. Fails with engine-too-old. */
export function negotiateApiVersion(engine: { readonly newest: string; readonly oldest: string }): string {
  if (!isVersion(engine.newest) || !isVersion(engine.oldest)) {
    throw new RelightError('engine-error', 'what answers on the socket is no container engine: it does not name its API version');
  }
  if (compare(engine.newest, floor) < 0) {
    throw new RelightError('engine-too-old', `the engine speaks API ${engine.newest}, at least ${floor} is needed`, {
      data: { apiVersion: engine.newest },
    });
  }
  const lower = compare(engine.newest, tested) < 0 ? engine.newest : tested;
  return compare(lower, engine.oldest) < 0 ? engine.oldest : lower;
}

/** Engines before this one take one network at create. */
export const takesSeveralNetworks = (apiVersion: string): boolean => compare(apiVersion, '1.44') >= 0;

const isVersion = (version: unknown): boolean => typeof version === 'string' && /^\d+\.\d+$/.test(version);

function compare(a: string, b: string): number {
  const [majorA = 0, minorA = 0] = a.split('.').map(Number);
  const [majorB = 0, minorB = 0] = b.split('.').map(Number);
  return majorA - majorB || minorA - minorB;
}
