/** Where each sink is posted to: what it is named by, everywhere. */
import type { SinkConfig } from '../../config.ts';
import { alertmanagerAddress } from './alertmanager.ts';

export const sinkAddress = ({ type, url }: SinkConfig): string => (type === 'alertmanager' ? alertmanagerAddress(url) : url);
