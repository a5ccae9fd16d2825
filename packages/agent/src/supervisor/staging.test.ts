import { describe, expect, test } from 'vitest';
import { classify } from './classify.ts';
import { adviseStaging } from './staging.ts';

const bucket = (options: readonly string[] = []) => ({ name: 'bucket', type: 'gcsfuse', target: '/opt/bucket', options }) as const;
const full = (path: string) => classify('process', [`dd: error writing '${path}': No space left on device`], 1);

describe('no space in a gcsfuse mount is no full disk', () => {
  test.each([
    [[], '/tmp'],
    [['--temp-dir', '/staging'], '/staging'],
    [['--temp-dir=/mnt/ssd'], '/mnt/ssd'],
    [['--temp-dir=/mnt/old', '-temp-dir', '/mnt/ssd'], '/mnt/ssd'],
    [['--temp-dir'], '/tmp'],
  ])('%j: it is staged in %s', (options, directory) => {
    const known = adviseStaging(full('/opt/bucket/checkpoint'), [bucket(options)]);
    expect(known).toMatchObject({ code: 'disk-full', recoverable: false });
    expect(known?.advice).toContain(`gcsfuse stages what is changed in /opt/bucket in ${directory} of the container`);
    expect(known?.advice).toContain('the mount bucket another --temp-dir');
  });

  test('elsewhere, in another mount or for another reason nothing is added', () => {
    for (const [known, mount] of [
      [full('/data/checkpoint'), bucket()],
      [full('/opt/bucket/x'), { name: 'data', type: 'command', target: '/opt/bucket' } as const],
      [classify('process', ['OSError: [Errno 98] Address already in use: /opt/bucket'], 1), bucket()],
      [null, bucket()],
    ] as const)
      expect(adviseStaging(known, [mount])).toBe(known);
  });
});
