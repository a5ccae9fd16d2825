/** Why a WebSocket is closed, as it fits into a close frame. */

/** RFC 6455 §5.5: a control frame carries 125 bytes, two of them are the code. `ws` throws at more, and whoever closes must not fail. */
export const closeReasonBytesMax = 123;

/** The beginning of `reason` that fits, in whole characters. */
export function closeReason(reason: string): string {
  const bytes = Buffer.from(reason);
  if (bytes.length <= closeReasonBytesMax) return reason;
  let end = closeReasonBytesMax;
  while (isInsideOfCharacter(bytes[end] ?? 0)) end -= 1;
  return bytes.toString('utf8', 0, end);
}

/** UTF-8: 10xxxxxx. */
const isInsideOfCharacter = (byte: number): boolean => byte >> 6 === 0b10;
