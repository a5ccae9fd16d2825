/**
 * A file that appears when it is complete. Until then its beginning lies in FILE.part, and FILE.part.state says how far it goes and
 * how to go on: pages are written before the state that counts them, so whatever lies behind what the state says is cut off.
 */
import { open, readFile, rename, rm, type FileHandle } from 'node:fs/promises';
import { RelightError, errorMessage } from '@relight/shared/errors';
import type { Query } from './client.ts';

/** How far an export has come. */
export interface ExportProgress {
  /** With the times of its beginning. */
  readonly query: Query;
  /** Cursor; null: nothing has been read. */
  readonly after: string | null;
  readonly lines: number;
  readonly gaps: number;
  readonly missing: number;
}

interface State extends ExportProgress {
  /** What was asked for, as it was asked for. */
  readonly key: string;
  readonly bytes: number;
}

export class ExportFile {
  readonly #name: string;
  readonly #key: string;
  readonly #handle: FileHandle;
  readonly progress: ExportProgress;
  #bytes: number;

  private constructor(name: string, key: string, handle: FileHandle, state: Omit<State, 'key'>) {
    this.#name = name;
    this.#key = key;
    this.#handle = handle;
    const { bytes, ...progress } = state;
    this.progress = progress;
    this.#bytes = bytes;
  }

  /** `key`: only an export of the same is gone on with. Throws `usage` when it cannot be written. */
  static async open(name: string, { key, query }: { readonly key: string; readonly query: Query }): Promise<ExportFile> {
    try {
      const before = await readState(`${name}.part.state`, key);
      const handle = await open(`${name}.part`, before === null ? 'w' : 'r+').catch((error: NodeJS.ErrnoException) => {
        // The state without its file: begin anew.
        if (before !== null && error.code === 'ENOENT') return null;
        throw error;
      });
      const size = (await handle?.stat())?.size ?? -1;
      if (before !== null && handle !== null && size >= before.bytes) {
        await handle.truncate(before.bytes);
        return new ExportFile(name, key, handle, before);
      }
      await handle?.close();
      return new ExportFile(name, key, await open(`${name}.part`, 'w'), { bytes: 0, query, after: null, lines: 0, gaps: 0, missing: 0 });
    } catch (cause) {
      throw writeError(name, cause);
    }
  }

  async append(text: string, progress: ExportProgress): Promise<void> {
    try {
      const bytes = Buffer.from(text);
      for (let written = 0; written < bytes.length;) {
        written += (await this.#handle.write(bytes, written, bytes.length - written, this.#bytes + written)).bytesWritten;
      }
      this.#bytes += bytes.length;
      await this.#handle.datasync();
      const state: State = { key: this.#key, bytes: this.#bytes, ...progress };
      const file = await open(`${this.#name}.part.state.new`, 'w');
      try {
        await file.writeFile(JSON.stringify(state));
        await file.datasync();
      } finally {
        await file.close();
      }
      await rename(`${this.#name}.part.state.new`, `${this.#name}.part.state`);
    } catch (cause) {
      throw writeError(this.#name, cause);
    }
  }

  async complete(): Promise<void> {
    try {
      await this.#handle.sync();
      await rename(`${this.#name}.part`, this.#name);
      await rm(`${this.#name}.part.state`, { force: true });
    } catch (cause) {
      throw writeError(this.#name, cause);
    }
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

async function readState(name: string, key: string): Promise<State | null> {
  const text = await readFile(name, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  try {
    const state = JSON.parse(text) as State;
    return state.key === key ? state : null;
  } catch {
    return null;
  }
}

function writeError(name: string, cause: unknown): RelightError {
  return new RelightError('usage', `${name} cannot be written: ${errorMessage(cause)}`, {
    cause,
    advice: 'Check the directory, its permissions and its free space; the same command goes on where it stopped.',
  });
}
