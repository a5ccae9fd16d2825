/**
 * What `nvidia-smi -q -x` prints, in the layouts of its driver generations (nvsmi_device v11 to v13), and a program of that
 * name for a test's PATH. The elements and their odd values (N/A, ERR!, [Not Supported], deprecated) are as the drivers write
 * them; the cards are made up.
 */
import { chmodSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

type Layout = 'v11' | 'v12' | 'v13';

export interface FakeGpu {
  readonly uuid: string;
  readonly pci: string;
  readonly model?: string;
  readonly utilisation?: string;
  readonly temperature?: string;
  readonly performance?: string;
  readonly power?: string;
  readonly memory?: readonly [total: string, used: string];
  readonly throttle?: readonly string[];
  /** Inner XML of <volatile> and <aggregate>. */
  readonly ecc?: { readonly volatile: string; readonly aggregate: string };
  readonly remapped?: string;
  readonly pending?: string;
  readonly recovery?: string;
  readonly mig?: number;
  readonly processes?: readonly { readonly pid: number; readonly type?: string; readonly name?: string; readonly memory?: string }[];
}

const dtd: Readonly<Record<Layout, string>> = { v11: 'nvsmi_device_v11.dtd', v12: 'nvsmi_device_v12.dtd', v13: 'nvsmi_device_v13.dtd' };

export function nvidiaSmi({
  driver = '550.90.07',
  cuda = '12.4',
  layout = 'v12',
  gpus,
  attached = gpus.length,
}: {
  readonly driver?: string;
  readonly cuda?: string;
  readonly layout?: Layout;
  readonly gpus: readonly FakeGpu[];
  readonly attached?: number;
}): string {
  return `<?xml version="1.0" ?>
<!DOCTYPE nvidia_smi_log SYSTEM "${dtd[layout]}">
<nvidia_smi_log>
	<timestamp>Tue Mar  4 10:00:00 2025</timestamp>
	<driver_version>${driver}</driver_version>
	<cuda_version>${cuda}</cuda_version>
	<attached_gpus>${attached}</attached_gpus>
${gpus.map((gpu, index) => element(gpu, index, layout)).join('')}</nvidia_smi_log>
`;
}

const reasons = [
  'gpu_idle',
  'sw_power_cap',
  'hw_slowdown',
  'hw_thermal_slowdown',
  'hw_power_brake_slowdown',
  'sync_boost',
  'sw_thermal_slowdown',
];
const clean =
  '<sram_correctable>0</sram_correctable><sram_uncorrectable>0</sram_uncorrectable><dram_correctable>0</dram_correctable><dram_uncorrectable>0</dram_uncorrectable>';

function element(gpu: FakeGpu, index: number, layout: Layout): string {
  const event = layout === 'v11' ? 'throttle' : 'event';
  const [total, used] = gpu.memory ?? ['81559 MiB', '0 MiB'];
  const power = gpu.power ?? '62.11 W';
  const readings =
    layout === 'v11'
      ? `<power_readings><power_state>P0</power_state><power_management>Supported</power_management><power_draw>${power}</power_draw><power_limit>400.00 W</power_limit></power_readings>`
      : layout === 'v12'
        ? `<gpu_power_readings><power_state>P0</power_state><power_draw>${power}</power_draw><current_power_limit>400.00 W</current_power_limit></gpu_power_readings>
		<module_power_readings><power_state>P0</power_state><power_draw>N/A</power_draw></module_power_readings>`
        : `<gpu_power_readings><power_state>Requested functionality has been deprecated</power_state><average_power_draw>299.80 W</average_power_draw><instant_power_draw>${power}</instant_power_draw></gpu_power_readings>
		<module_power_readings><average_power_draw>N/A</average_power_draw><instant_power_draw>N/A</instant_power_draw></module_power_readings>`;
  return `	<gpu id="${gpu.pci}">
		<product_name>${gpu.model ?? 'NVIDIA H100 80GB HBM3'}</product_name>
		<product_brand>NVIDIA</product_brand>
		<display_mode>${layout === 'v13' ? 'Requested functionality has been deprecated' : 'Enabled'}</display_mode>
		<mig_mode><current_mig>${gpu.mig === undefined ? 'Disabled' : 'Enabled'}</current_mig></mig_mode>
		<mig_devices>${mig(gpu.mig ?? 0)}</mig_devices>
		<serial>0</serial>
		<uuid>${gpu.uuid}</uuid>
		<minor_number>${index}</minor_number>
		${layout === 'v13' ? `<gpu_recovery_action>${gpu.recovery ?? 'None'}</gpu_recovery_action>` : layout === 'v12' ? '<gpu_reset_status><reset_required>No</reset_required><drain_and_reset_recommended>No</drain_and_reset_recommended></gpu_reset_status>' : ''}
		<pci><pci_bus_id>${gpu.pci}</pci_bus_id><pci_gpu_link_info><pcie_gen><max_link_gen>5</max_link_gen></pcie_gen></pci_gpu_link_info><replay_counter>0</replay_counter></pci>
		<fan_speed>N/A</fan_speed>
		<performance_state>${gpu.performance ?? 'P0'}</performance_state>
		<clocks_${event}_reasons>
${reasons.map((reason) => `			<clocks_${event}_reason_${reason}>${gpu.throttle?.includes(reason) === true ? 'Active' : 'Not Active'}</clocks_${event}_reason_${reason}>\n`).join('')}		</clocks_${event}_reasons>
		<fb_memory_usage><total>${total}</total><reserved>551 MiB</reserved><used>${used}</used><free>[Not Supported]</free></fb_memory_usage>
		<bar1_memory_usage><total>131072 MiB</total><used>1 MiB</used></bar1_memory_usage>
		<utilization><gpu_util>${gpu.utilisation ?? '0 %'}</gpu_util><memory_util>0 %</memory_util></utilization>
		<ecc_mode><current_ecc>Enabled</current_ecc></ecc_mode>
		<ecc_errors><volatile>${gpu.ecc?.volatile ?? clean}</volatile><aggregate>${gpu.ecc?.aggregate ?? clean}</aggregate></ecc_errors>
		<retired_pages><multiple_single_bit_retirement><retired_count>0</retired_count><retired_pagelist>
			</retired_pagelist></multiple_single_bit_retirement><pending_blacklist>${gpu.pending ?? 'N/A'}</pending_blacklist><pending_retirement>${gpu.pending ?? 'N/A'}</pending_retirement></retired_pages>
		<remapped_rows>${gpu.remapped ?? 'N/A'}</remapped_rows>
		<temperature><gpu_temp>${gpu.temperature ?? '31 C'}</gpu_temp><gpu_temp_tlimit>N/A</gpu_temp_tlimit><memory_temp>44 C</memory_temp></temperature>
		${readings}
		<clocks><graphics_clock>1275 MHz</graphics_clock></clocks>
		<supported_clocks><supported_mem_clock><value>1593 MHz</value>${'<supported_graphics_clock>1410 MHz</supported_graphics_clock>'.repeat(40)}</supported_mem_clock></supported_clocks>
		<processes>${(gpu.processes ?? []).map(processElement).join('')}
		</processes>
		<accounted_processes>
		</accounted_processes>
	</gpu>
`;
}

const processElement = ({
  pid,
  type = 'C',
  name = '/usr/bin/python3',
  memory = '1029 MiB',
}: NonNullable<FakeGpu['processes']>[number]): string => `
			<process_info>
				<gpu_instance_id>N/A</gpu_instance_id>
				<compute_instance_id>N/A</compute_instance_id>
				<pid>${pid}</pid>
				<type>${type}</type>
				<process_name>${name}</process_name>
				<used_memory>${memory}</used_memory>
			</process_info>`;

/** Each instance has counters of its own, with the names of the card's. */
const mig = (count: number): string =>
  count === 0
    ? 'None'
    : Array.from(
        { length: count },
        (_, i) =>
          `<mig_device><index>${i}</index><ecc_error_count><volatile_count><sram_uncorrectable>9</sram_uncorrectable></volatile_count></ecc_error_count><fb_memory_usage><total>19968 MiB</total><used>12 MiB</used></fb_memory_usage></mig_device>`,
      ).join('');

export const samples = {
  t4Driver515: nvidiaSmi({
    driver: '515.105.01',
    cuda: '11.7',
    layout: 'v11',
    gpus: [
      {
        uuid: 'GPU-0d1e2f30-0000-4000-8000-00000000001e',
        pci: '00000000:00:1E.0',
        model: 'Tesla T4',
        memory: ['15360 MiB', '1032 MiB'],
        utilisation: '37 %',
        temperature: '40 C',
        power: '26.78 W',
        throttle: ['hw_slowdown', 'hw_thermal_slowdown'],
        ecc: { volatile: clean, aggregate: clean.replace('<dram_uncorrectable>0', '<dram_uncorrectable>1') },
        pending: 'Yes',
        processes: [{ pid: 4_711 }],
      },
    ],
  }),
  migDriver535: nvidiaSmi({
    driver: '535.54.03',
    cuda: '12.2',
    gpus: [
      {
        uuid: 'GPU-0d1e2f30-0000-4000-8000-000000000535',
        pci: '00000000:01:00.0',
        model: 'NVIDIA A100-SXM4-80GB',
        memory: ['81920 MiB', '50 MiB'],
        utilisation: 'N/A',
        power: '67.03 W',
        mig: 2,
      },
    ],
  }),
  v100Driver470: nvidiaSmi({
    driver: '470.199.02',
    cuda: '11.4',
    layout: 'v11',
    gpus: [
      {
        uuid: 'GPU-0d1e2f30-0000-4000-8000-000000000470',
        pci: '00000000:3D:00.0',
        model: 'Tesla V100-SXM2-32GB',
        power: '43.10 W',
        ecc: {
          volatile:
            '<single_bit><total>5</total></single_bit><double_bit><device_memory>2</device_memory><register_file>1</register_file><l1_cache>N/A</l1_cache><total>3</total></double_bit>',
          aggregate: '<double_bit><device_memory>2</device_memory><total>3</total></double_bit>',
        },
        pending: 'No',
      },
    ],
  }),
  h100Driver590: nvidiaSmi({
    driver: '590.44.01',
    cuda: '13.1',
    layout: 'v13',
    gpus: [
      { uuid: 'GPU-0d1e2f30-0000-4000-8000-000000005900', pci: '00000000:61:00.0', power: '301.50 W', processes: [{ pid: 20 }] },
      {
        uuid: 'GPU-0d1e2f30-0000-4000-8000-000000005901',
        pci: '00000000:62:00.0',
        recovery: 'Reset',
        ecc: {
          volatile:
            '<sram_correctable>0</sram_correctable><sram_uncorrectable_parity>1</sram_uncorrectable_parity><sram_uncorrectable_secded>2</sram_uncorrectable_secded><dram_uncorrectable>1</dram_uncorrectable>',
          aggregate:
            '<sram_uncorrectable_parity>1</sram_uncorrectable_parity><dram_uncorrectable>4</dram_uncorrectable><sram_threshold_exceeded>Yes</sram_threshold_exceeded>',
        },
        remapped:
          '<remapped_row_corr>0</remapped_row_corr><remapped_row_unc>1</remapped_row_unc><remapped_row_pending>Yes</remapped_row_pending><remapped_row_failure>No</remapped_row_failure><row_remapper_histogram><row_remapper_histogram_max>512 bank(s)</row_remapper_histogram_max></row_remapper_histogram>',
        processes: [{ pid: 21 }, { pid: 22, type: 'G', name: '/usr/lib/xorg/Xorg' }, { pid: 23, type: 'M+C', memory: '[Not Supported]' }],
      },
    ],
  }),
  errDriver550: nvidiaSmi({
    gpus: [
      {
        uuid: 'GPU-0d1e2f30-0000-4000-8000-000000000550',
        pci: '00000000:01:00.0',
        model: 'ERR!',
        temperature: 'ERR!',
        power: '[Unknown Error]',
        performance: 'ERR!',
        utilisation: 'N/A',
      },
    ],
  }),
} as const;

/**
 * A directory with an executable `nvidia-smi`, to be put on a PATH. `says` replaces what it does from the next call on: a
 * POSIX shell script's body.
 */
export function fakeNvidiaSmi(directory: string): { readonly directory: string; says(body: string): void; prints(xml: string): void } {
  mkdirSync(directory, { recursive: true });
  const file = join(directory, 'nvidia-smi');
  const says = (body: string): void => {
    // Renamed into place: a program that is being executed cannot be written.
    writeFileSync(`${file}.new`, `#!/bin/sh\n${body}\n`);
    chmodSync(`${file}.new`, 0o755);
    renameSync(`${file}.new`, file);
  };
  return {
    directory,
    says,
    prints: (xml) => {
      writeFileSync(`${file}.xml.new`, xml);
      renameSync(`${file}.xml.new`, `${file}.xml`);
      says(`cat '${file}.xml'`);
    },
  };
}
