import { expect, test } from 'vitest';
import { machineFacts } from './machine-facts.ts';

test('what the library does not know is no fact; serial numbers stay on the host', () => {
  const system = { manufacturer: '', model: 'Computer', version: '', serial: 'S-1', uuid: 'u-1', sku: '-', virtual: false };
  expect(machineFacts({ system, cpu: { physicalCores: 0 }, graphics: { controllers: [] } })).toEqual({});
});

test('a cloud machine with GPUs, named by their driver where there is one', () => {
  const facts = machineFacts({
    system: { manufacturer: 'Google', model: 'Google Compute Engine', virtual: true, virtualHost: 'KVM' },
    cpu: { physicalCores: 8 },
    graphics: {
      controllers: [
        { vendor: 'NVIDIA Corporation', model: 'AD104GL', name: 'NVIDIA L4' },
        { vendor: 'Matrox', model: 'G200' },
      ],
    },
  });
  expect(facts).toEqual({
    manufacturer: 'Google',
    model: 'Google Compute Engine',
    virtualization: 'KVM',
    physicalCores: 8,
    gpus: ['NVIDIA L4', 'Matrox G200'],
  });
});

test('virtual, but nobody says of whom', () => {
  const system = { manufacturer: 'Acme', model: '-', virtual: true };
  const facts = machineFacts({ system, cpu: { physicalCores: 1 }, graphics: { controllers: [] } });
  expect(facts).toEqual({ manufacturer: 'Acme', virtualization: 'yes', physicalCores: 1 });
});
