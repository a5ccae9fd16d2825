/** The one message of an agent that counts also when it comes too late for anything else. */
import { agentMessageSchema, parseMessage } from '@relight/shared/protocol';

/** Longer than any goodbye: heartbeats need not be parsed to see that they are none. */
const bytesMax = 200;

/** Why the agent leaves; null: it says something else. */
export function goodbyeIn(message: Buffer): 'stopped' | 'rebooting' | null {
  if (message.length > bytesMax) return null;
  try {
    const parsed = parseMessage(agentMessageSchema, message.toString('utf8'));
    return parsed?.type === 'goodbye' ? parsed.reason : null;
  } catch {
    return null;
  }
}
