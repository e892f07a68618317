// A child that was given a descriptor of a TUN or TAP of a namespace that it is not in itself, and serves on it.

import { createStack, type Device, tap, tun } from '../../src/index';

async function main(kind: string, capture: string): Promise<void> {
  const fd = Number(process.env.TUN_FD);
  const device: Device = kind === 'tap' ? tap({ fd, mac: '02:00:00:00:00:02' }) : tun({ fd });
  const stack = await createStack({
    interfaces: [{ device, name: 'given', capture, addresses: ['198.18.0.2/24', 'fd00::2/64'] }],
  });
  const web = stack.http.createServer((request, response) => {
    if (request.url === '/end') void stack.close();
    response.end(`${kind} ${request.url}`.repeat(20_000));
  });
  web.listen(80, () => process.stdout.write('ready\n'));
  const refused = ['setMtu', 'setDown'].map((name) => {
    try {
      if (name === 'setMtu') stack.setMtu('given', 1400);
      else stack.setDown('given');
      return 'done';
    } catch (error) {
      return (error as NodeJS.ErrnoException).code;
    }
  });
  process.stdout.write(`${refused}\n`);
}

void main(process.argv[2] as string, process.argv[3] as string);
