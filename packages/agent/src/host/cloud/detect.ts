/** Which cloud this machine is of, by what its firmware says of itself (DMI). Nothing is sent anywhere. */
import { RelightError } from '@relight/shared/errors';
import { readFileSync } from 'node:fs';
import type { CloudProvider } from './notice.ts';

export interface Dmi {
  readonly sysVendor: string;
  readonly productName: string;
  readonly biosVendor: string;
  readonly chassisAssetTag: string;
}

/** Pure. Azure's asset tag is the same on all its machines and on no other Hyper-V. */
export function providerOf({ sysVendor, productName, biosVendor, chassisAssetTag }: Dmi): CloudProvider | null {
  if (sysVendor === 'Google' || productName === 'Google Compute Engine' || biosVendor === 'Google') return 'gcp';
  if (sysVendor === 'Amazon EC2' || biosVendor === 'Amazon EC2' || /\bamazon\b/i.test(biosVendor)) return 'aws';
  if (chassisAssetTag === '7783-7084-3265-9085-8269-3286-77') return 'azure';
  return null;
}

export function readDmi(directory = '/sys/class/dmi/id'): Dmi {
  const read = (name: string): string => {
    try {
      return readFileSync(`${directory}/${name}`, 'utf8').trim();
    } catch {
      // Containers, ARM boards and some virtual machines have no DMI.
      return '';
    }
  };
  return {
    sysVendor: read('sys_vendor'),
    productName: read('product_name'),
    biosVendor: read('bios_vendor'),
    chassisAssetTag: read('chassis_asset_tag'),
  };
}

/**
 * For tests and for machines without DMI: `RELIGHT_METADATA_URL=gcp+http://127.0.0.1:8080` names the provider and its metadata
 * server. Null: not set. Fails with config-invalid on anything else.
 */
export function metadataFromEnvironment(value: string | undefined): { readonly provider: CloudProvider; readonly base: string } | null {
  if (value === undefined || value === '') return null;
  const match = /^(gcp|aws|azure)\+(http:\/\/[^/]+)\/?$/.exec(value);
  if (match === null)
    throw new RelightError('config-invalid', `RELIGHT_METADATA_URL: ${value} is not of the form gcp+http://HOST:PORT (or aws+, azure+)`);
  return { provider: match[1] as CloudProvider, base: match[2] ?? '' };
}
