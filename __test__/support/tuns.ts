// `tun()` for tests against the kernel: with USERNET_QUEUES=n each TUN that can have several queues has n.

import { tun as open, type TunDevice, type TunOptions } from '../../src/index';

const QUEUES = Number(process.env.USERNET_QUEUES ?? 1);

/** A TUN as the test asked for it. */
export function tun(options: TunOptions = {}): TunDevice {
  const one = QUEUES === 1 || options.fd !== undefined || options.impairment !== undefined;
  return open(one ? options : { queues: QUEUES, ...options });
}
