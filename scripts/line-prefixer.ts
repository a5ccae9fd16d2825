/** Puts `prefix` before each line; lines come whole, bytes stay what they are. `end` writes what has no newline. */
export function linePrefixer(prefix: string, write: (bytes: Buffer) => void): { push(chunk: Buffer): void; end(): void } {
  const ahead = Buffer.from(prefix);
  let held: Buffer = Buffer.alloc(0);
  return {
    push(chunk) {
      held = Buffer.concat([held, chunk]);
      const lines: Buffer[] = [];
      for (let end = held.indexOf(10); end >= 0; end = held.indexOf(10)) {
        lines.push(ahead, held.subarray(0, end + 1));
        held = held.subarray(end + 1);
      }
      if (lines.length > 0) write(Buffer.concat(lines));
    },
    end() {
      if (held.length > 0) write(Buffer.concat([ahead, held, Buffer.of(10)]));
      held = Buffer.alloc(0);
    },
  };
}
