import { holderOfPort } from '../host/port-holder.ts';
import { classify, portOf } from '../supervisor/classify.ts';

/** Who has the port that the process complains of, as the host sees it; null when it complains of none, or nobody has it by now. */
export async function holderOfTakenPort(lastLines: readonly string[], exitCode: number | null): Promise<string | null> {
  const known = classify('process', lastLines, exitCode);
  const port = known?.code === 'address-in-use' ? portOf(known.cause) : null;
  return port === null ? null : holderOfPort(port, 'tcp');
}
