import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { nvidiaSmi, samples } from '../../../../../test/support/nvidia-smi.ts';
import { parseNvidiaXml } from './nvidia-xml.ts';

describe('reports of real driver generations', () => {
  test('driver 515 (v11): a T4 with its old names', () => {
    const { driverVersion, cudaVersion, attached, complete, gpus } = parseNvidiaXml(samples.t4Driver515);
    expect({ driverVersion, cudaVersion, attached, complete }).toEqual({
      driverVersion: '515.105.01',
      cudaVersion: '11.7',
      attached: 1,
      complete: true,
    });
    expect(gpus).toEqual([
      {
        index: 0,
        uuid: 'GPU-0d1e2f30-0000-4000-8000-00000000001e',
        pciAddress: '0000:00:1e.0',
        model: 'Tesla T4',
        memoryTotalBytes: 15_360 * 1024 ** 2,
        memoryUsedBytes: 1_032 * 1024 ** 2,
        utilisation: 0.37,
        temperatureCelsius: 40,
        powerWatts: 26.78,
        eccVolatile: { dram: 0, sram: 0 },
        eccAggregate: { dram: 1, sram: 0 },
        eccThresholdExceeded: false,
        remapFailed: false,
        remapPending: false,
        pagesPending: true,
        throttled: ['thermal'],
        recovery: null,
        saysRecovery: false,
        unreadable: [],
        migDevices: 0,
        processes: [{ pid: 4_711, name: '/usr/bin/python3', compute: true, memoryBytes: 1_029 * 1024 ** 2 }],
      },
    ]);
  });

  test('driver 535 (v12): a partitioned A100: counters of its instances are not its own, N/A is no value', () => {
    const [gpu] = parseNvidiaXml(samples.migDriver535).gpus;
    expect(gpu).toMatchObject({
      migDevices: 2,
      memoryTotalBytes: 81_920 * 1024 ** 2,
      powerWatts: 67.03,
      eccVolatile: { dram: 0, sram: 0 },
    });
    expect(gpu?.utilisation).toBeUndefined();
    expect(gpu).toMatchObject({ remapFailed: false, pagesPending: false, unreadable: [] });
  });

  test('driver 470 (v11): a V100 counts double-bit errors', () => {
    const [gpu] = parseNvidiaXml(samples.v100Driver470).gpus;
    expect(gpu).toMatchObject({ eccVolatile: { dram: 2, sram: 1 }, eccAggregate: { dram: 2, sram: 1 }, powerWatts: 43.1 });
  });

  test('driver 590 (v13): renamed power, split SRAM counters, the action that the driver asks for', () => {
    const { gpus } = parseNvidiaXml(samples.h100Driver590);
    expect(gpus).toHaveLength(2);
    expect(gpus[0]).toMatchObject({ powerWatts: 301.5, saysRecovery: true, recovery: null, eccVolatile: { dram: 0, sram: 0 } });
    expect(gpus[1]).toMatchObject({ recovery: 'reset', eccVolatile: { dram: 1, sram: 3 }, eccThresholdExceeded: true, remapPending: true });
    expect(gpus[1]?.processes.map(({ pid, compute }) => [pid, compute])).toEqual([
      [21, true],
      [22, false],
      [23, true],
    ]);
  });

  test('ERR! in the place of values names what cannot be read', () => {
    const [gpu] = parseNvidiaXml(samples.errDriver550).gpus;
    expect(gpu?.unreadable).toEqual(['name', 'temperature', 'power', 'performance state']);
    expect(gpu?.model).toBe('unknown');
    expect(gpu?.temperatureCelsius).toBeUndefined();
  });

  test('a card that needs a reset says so where its values were', () => {
    const xml = nvidiaSmi({ driver: '545.23.08', gpus: [{ uuid: 'GPU-a', pci: '00000000:3B:00.0', model: 'GPU requires reset' }] });
    expect(parseNvidiaXml(xml).gpus[0]).toMatchObject({ recovery: 'reset', pciAddress: '0000:3b:00.0' });
  });
});

describe('a document that is not whole', () => {
  test('cut anywhere: nothing is invented, and it says that it is not complete', () => {
    const whole = parseNvidiaXml(samples.h100Driver590);
    for (let length = 0; length < samples.h100Driver590.trimEnd().length; length += 7) {
      const part = parseNvidiaXml(samples.h100Driver590.slice(0, length));
      expect(part.complete).toBe(false);
      expect(part.gpus).toEqual(whole.gpus.slice(0, part.gpus.length));
    }
  });

  test('never throws, whatever the text', () => {
    const piece = fc.oneof(
      fc.string(),
      fc.constantFrom('<gpu id="1">', '</gpu>', '<processes>', '<process_info>', '</process_info>', '<mig_device>', '</nvidia_smi_log>'),
      fc.constantFrom(
        '<nvidia_smi_log>',
        '<![CDATA[',
        ']]>',
        '<!--',
        '&bogus;',
        '<!DOCTYPE',
        '<supported_clocks>',
        '</supported_clocks>',
        '\0',
      ),
      fc.nat(samples.t4Driver515.length).map((at) => samples.t4Driver515.slice(at, at + 300)),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
        const report = parseNvidiaXml(pieces.join(''));
        expect(report.gpus.length).toBeLessThanOrEqual(64);
        for (const gpu of report.gpus) for (const { pid } of gpu.processes) expect(Number.isSafeInteger(pid)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});
