/** `relight-agent facts`: what the service asks a child of its own for. */
import { providerOf, readDmi } from '../host/cloud/detect.ts';
import { lookAtMachine } from '../host/machine-facts.ts';
import type { Io } from './io.ts';

export async function factsCommand(io: Pick<Io, 'write'>): Promise<0> {
  io.write(`${JSON.stringify({ ...(await lookAtMachine()), cloud: providerOf(readDmi()) ?? 'none' })}\n`);
  return 0;
}
