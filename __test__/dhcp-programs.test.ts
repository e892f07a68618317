// DHCP with the programs of others, on one Ethernet link with the kernel: dhclient and udhcpc get their addresses from our
// server, our client gets its from dnsmasq.

import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describeTun, Namespace, type Running } from './support/netns';
import { until } from './support/stacks';

jest.setTimeout(90_000);

const folder = mkdtempSync(path.join(tmpdir(), 'usernet-dhcp-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Writes a script for `sh`; its path. */
function script(name: string, ...lines: string[]): string {
  const file = path.join(folder, name);
  writeFileSync(file, ['#!/bin/sh', ...lines, ''].join('\n'));
  chmodSync(file, 0o755);
  return file;
}

describeTun('our server', () => {
  let namespace: Namespace;
  beforeAll(async () => {
    namespace = await Namespace.start('dhcp-peer.ts', { addresses: ['198.18.0.2/24'], kernelAddresses: [] });
    await namespace.call('serve', {
      interface: 'tap0',
      range: ['198.18.0.100', '198.18.0.109'],
      dns: ['198.18.0.53', '198.18.0.54'],
      domain: 'lab.test',
      mtu: 1400,
      leaseTime: 1200,
    });
  });
  afterAll(() => namespace.stop());

  interface Lease {
    address: string;
    client: string;
    state: string;
  }

  const works = async (address: string): Promise<void> => {
    const ping = await namespace.exec('ping', ['-n', '-c', '1', '-W', '5', '-I', address, '198.18.0.2']);
    expect(ping.stdout).toContain('1 received');
  };
  /** The client gave its address back: the server knows, and the kernel has it no more. */
  const ended = async (): Promise<void> => {
    await until('it is given back', async () => (await namespace.call<Lease[]>('leases')).length === 0);
    await namespace.exec('ip', ['address', 'flush', 'dev', 'tap0']);
  };

  test('udhcpc gets an address, has it renewed, gives it back', async () => {
    const configure = script(
      'udhcpc.sh',
      'echo "$1 $ip/$mask by $serverid, router $router, dns $dns, domain $domain, mtu $mtu, for $lease"',
      '[ "$1" = bound ] && ip address add "$ip/$mask" dev "$interface"',
      '[ "$1" = deconfig ] && ip link set "$interface" up',
      'exit 0',
    );
    const udhcpc = namespace.spawn('udhcpc', ['-f', '-R', '-t', '5', '-n', '-i', 'tap0', '-s', configure]);
    const told = heard(udhcpc);
    const what = '198.18.0.100/24 by 198.18.0.2, router 198.18.0.2, dns 198.18.0.53 198.18.0.54, domain lab.test';
    await until('udhcpc has an address', () => told().includes(`bound ${what}, mtu 1400, for 1200`), 20_000);
    expect(await namespace.call<Lease[]>('leases')).toMatchObject([{ address: '198.18.0.100', state: 'leased' }]);
    udhcpc.process.kill('SIGUSR1');
    await until('it is renewed', () => told().includes(`renew ${what}`), 20_000);
    await works('198.18.0.100');
    udhcpc.process.kill('SIGTERM');
    await udhcpc.finished;
    await ended();
  });

  test('dhclient gets an address and gives it back', async () => {
    const configure = script(
      'dhclient.sh',
      'echo "$reason $new_ip_address/$new_subnet_mask by $new_dhcp_server_identifier, router $new_routers," \\',
      '  "dns $new_domain_name_servers, domain $new_domain_name, mtu $new_interface_mtu, for $new_dhcp_lease_time"',
      'case "$reason" in',
      '  PREINIT) ip link set "$interface" up ;;',
      '  BOUND) ip address add "$new_ip_address/24" dev "$interface" ;;',
      'esac',
      'exit 0',
    );
    const settings = path.join(folder, 'dhclient.conf');
    writeFileSync(settings, 'request subnet-mask, routers, domain-name-servers, domain-name, interface-mtu;\n');
    const files = ['-cf', settings, '-lf', path.join(folder, 'leases'), '-pf', path.join(folder, 'pid')];
    const options = ['-4', '-v', '-sf', configure, ...files, 'tap0'];
    const got = await namespace.exec('dhclient', ['-1', ...options]);
    expect(got.code).toBe(0);
    expect(got.stdout).toMatch(
      /BOUND 198\.18\.0\.10\d\/255\.255\.255\.0 by 198\.18\.0\.2, router 198\.18\.0\.2, dns 198\.18\.0\.53 198\.18\.0\.54, domain lab\.test, mtu 1400, for 1200/,
    );
    expect(got.stderr).toMatch(/DHCPACK of 198\.18\.0\.10\d from 198\.18\.0\.2/);
    const [lease] = await namespace.call<[Lease]>('leases');
    expect(lease).toMatchObject({ state: 'leased' });
    await works(lease.address);
    const released = await namespace.exec('dhclient', ['-r', ...options]);
    expect(released.stderr).toMatch(/DHCPRELEASE of 198\.18\.0\.10\d/);
    await ended();
  });
});

describeTun('our client', () => {
  test('dnsmasq gives it an address by its hardware address; given back, and declined when another has it', async () => {
    const namespace = await Namespace.start('dhcp-peer.ts', { addresses: [], kernelAddresses: ['198.18.0.1/24'] });
    const server = namespace.spawn('dnsmasq', [
      ...['--keep-in-foreground', '--conf-file=/dev/null', '--no-resolv', '--no-hosts', '--user=root', '--pid-file='],
      ...[
        '--interface=tap0',
        '--bind-interfaces',
        '--log-facility=-',
        '--log-dhcp',
        '--dhcp-authoritative',
        '--no-ping',
      ],
      `--dhcp-leasefile=${path.join(folder, 'dnsmasq.leases')}`,
      ...['--dhcp-range=198.18.0.50,198.18.0.59,255.255.255.0,600', '--dhcp-option=option:mtu,1400'],
      ...['--dhcp-host=02:00:00:00:00:02,198.18.0.77', '--domain=lab.test', '--address=/www.lab.test/192.0.2.7'],
    ]);
    const log = heard(server);
    try {
      await until('dnsmasq listens', () => log().includes('started'));
      const lease = await namespace.call('lease', { interface: 'tap0', hostname: 'usernet' });
      expect(lease).toMatchObject({
        address: '198.18.0.77',
        prefixLength: 24,
        server: '198.18.0.1',
        leaseTime: 600,
        routers: ['198.18.0.1'],
        dns: ['198.18.0.1'],
        domain: 'lab.test',
        mtu: 1400,
      });
      expect(log()).toMatch(/DHCPACK\(tap0\) 198\.18\.0\.77 02:00:00:00:00:02 usernet/);
      expect(await namespace.call('routes')).toEqual([{ to: '0.0.0.0/0', via: '198.18.0.1', interface: 'tap0' }]);
      expect(await namespace.call('resolve', 'www.lab.test')).toEqual(['192.0.2.7']);
      expect(await namespace.call('ping', '198.18.0.1')).toMatchObject({ received: 1 });
      const ping = await namespace.exec('ping', ['-n', '-c', '1', '-W', '5', '198.18.0.77']);
      expect(ping.stdout).toContain('1 received');
      await namespace.call('release');
      await until('dnsmasq has it back', () => /DHCPRELEASE\(tap0\) 198\.18\.0\.77/.test(log()));

      // The kernel is somebody else on the link.
      await namespace.exec('ip', ['address', 'add', '198.18.0.77/32', 'dev', 'tap0']);
      expect(await namespace.call('lease', { interface: 'tap0' })).toMatchObject({ address: '198.18.0.77' });
      await until('dnsmasq hears that', () => /DHCPDECLINE\(tap0\) 198\.18\.0\.77 02:00:00:00:00:02/.test(log()));
      expect(await namespace.call('events')).toContainEqual(['lost', '198.18.0.77', 'declined']);
      expect(await namespace.call('addresses')).toEqual([]);
    } finally {
      server.process.kill();
      await server.finished;
      await namespace.stop();
    }
  });
});

/** What a program has said so far, on both of its outputs. */
function heard(program: Running): () => string {
  let text = '';
  for (const stream of [program.process.stdout, program.process.stderr]) {
    stream?.on('data', (data) => {
      text += data;
    });
  }
  return () => text;
}
