/** An accelerator in one line, for people; the same on the host and at the collector. */
import type { Accelerator } from './status.ts';
import { formatBytes } from './units.ts';

/** `gpu 0`, then what it is, how it is and what it does. */
export function acceleratorText({
  kind,
  index,
  model,
  health,
  reason,
  action,
  metrics,
}: Accelerator): readonly [name: string, text: string] {
  const { utilisation, memoryUsedBytes, memoryTotalBytes, temperatureCelsius, powerWatts, eccUncorrectable = 0, holders } = metrics;
  const parts = [
    model,
    health,
    ...(utilisation === undefined ? [] : [`${Math.round(utilisation * 100)} % used`]),
    ...(memoryUsedBytes === undefined || memoryTotalBytes === undefined
      ? []
      : [`${formatBytes(memoryUsedBytes)} of ${formatBytes(memoryTotalBytes)}`]),
    ...(temperatureCelsius === undefined ? [] : [`${temperatureCelsius} °C`]),
    ...(powerWatts === undefined ? [] : [`${Math.round(powerWatts)} W`]),
    ...(eccUncorrectable === 0 ? [] : [`${eccUncorrectable} ECC errors`]),
    ...(holders === undefined ? [] : [holders === 0 ? 'free' : `held by ${holders} processes`]),
  ];
  const trouble = [reason, action].filter((text) => text !== '').join('. ');
  return [`${kind} ${index}`, `${parts.join(', ')}${trouble === '' ? '' : `: ${trouble}`}`];
}
