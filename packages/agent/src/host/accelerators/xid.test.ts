import { describe, expect, test } from 'vitest';
import { parseXid } from '../kernel-log/xid.ts';
import { meaningOf } from './xid.ts';

const meaning = (code: number, rest = 'pid=4711, name=python3, Ch 00000008') => {
  const fact = parseXid(`NVRM: Xid (PCI:0000:3b:00): ${code}, ${rest}`);
  if (fact === null) throw new Error('no Xid');
  return meaningOf(fact, 5);
};

describe('what an Xid of the kernel log leads to', () => {
  test.each([13, 31, 94])('%i is the program: it is started anew, and the card is sound', (code) => {
    expect(meaning(code)).toMatchObject({ known: null, event: { code: 'gpu-xid', level: 'process', recoverable: true } });
  });

  test.each([46, 62, 64, 79, 95, 109, 119, 120, 140, 143])('%i: nothing is started on the card until a person has acted', (code) => {
    const { known, event } = meaning(code);
    expect(known).toMatchObject({ code, address: '0000:3b:00.0', at: 5, held: true });
    expect(event).toMatchObject({ code: 'gpu-failed', level: 'host', recoverable: false });
    expect(event?.data['advice']).not.toBe('');
  });

  test.each([48, 74, 144, 150])('%i is told with the card, and what runs may run', (code) => {
    expect(meaning(code)).toMatchObject({ known: { code, held: false }, event: null });
  });

  test.each([43, 63, 92])('%i means nothing', (code) => {
    expect(meaning(code)).toEqual({ known: null, event: null });
  });

  test('154 says itself what it wants', () => {
    expect(meaning(154, 'GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)').known?.held).toBe(true);
    expect(meaning(154, 'GPU recovery action changed from 0x1 (GPU Reset Required) to 0x0 (None)')).toEqual({ known: null, event: null });
  });
});
