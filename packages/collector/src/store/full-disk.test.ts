import { RelightError } from '@relight/shared/errors';
import { describe, expect, it } from 'vitest';
import { explainFullDisk } from './full-disk.ts';

describe('a store that cannot be opened', () => {
  it('says that the disk is full, how much is free and what helps', () => {
    const error = explainFullDisk(new Error('disk I/O error'), '/data', () => 8_192);
    expect(error).toMatchObject({ code: 'store-failed', advice: expect.stringContaining('/data/logs') });
    expect(error.message).toBe('the disk of /data is full: 8.0 KiB are free (disk I/O error)');
  });

  it('says what it is on a disk with room, and where nobody can tell', () => {
    expect(explainFullDisk(new Error('disk I/O error'), '/data', () => 1e9).message).toBe('disk I/O error');
    expect(explainFullDisk(new Error('disk I/O error'), '/does/not/exist').message).toBe('disk I/O error');
  });

  it('leaves another reason alone', () => {
    const running = new RelightError('already-running', 'it runs');
    expect(explainFullDisk(running, '/data', () => 0)).toBe(running);
  });
});
