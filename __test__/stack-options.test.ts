// Bad input: each a clear error with a code, the value and the remedy.
import { createLink, createStack, tun } from '../src/index';
import type { StackOptions } from '../src/options';
import { contains } from '../src/options';

async function failure(run: () => unknown): Promise<{ code?: string; message: string }> {
  try {
    await run();
  } catch (error) {
    return { code: (error as NodeJS.ErrnoException).code as string, message: (error as Error).message };
  }
  return { message: 'nothing was wrong' };
}

const withInterface = (entry: object): StackOptions => {
  const [device, other] = createLink();
  void other;
  return { interfaces: [{ device, addresses: ['198.18.0.1/24'], ...entry }] };
};

test.each<[string, () => StackOptions, string, string]>([
  [
    'an address without a prefix length',
    () => withInterface({ addresses: ['198.18.0.2'] }),
    'ERR_INVALID_ARG_VALUE',
    "The property 'interface.addresses' needs the length of its prefix, such as '198.18.0.2/24' or 'fd00::2/64'. Received '198.18.0.2'",
  ],
  [
    'no address at all',
    () => withInterface({ addresses: ['un0/24'] }),
    'ERR_INVALID_ARG_VALUE',
    "The property 'interface.addresses' must be an IP address with a prefix length, such as '198.18.0.2/24' or 'fd00::2/64'. Received 'un0/24'",
  ],
  [
    'a prefix length that is too long',
    () => withInterface({ addresses: ['198.18.0.2/33'] }),
    'ERR_INVALID_ARG_VALUE',
    "The property 'interface.addresses' has a prefix length that is not from 0 to 32. Received '198.18.0.2/33'",
  ],
  [
    'an MTU that is too small for IPv6',
    () => withInterface({ addresses: ['fd00::2/64'], mtu: 1279 }),
    'ERR_OUT_OF_RANGE',
    'The value of "interface.mtu" is out of range. It must be an integer >= 1280 for an interface with an IPv6 address (RFC 8200 section 5) && <= 65535. Received 1279',
  ],
  [
    'an MTU that is too small',
    () => withInterface({ mtu: 575 }),
    'ERR_OUT_OF_RANGE',
    'The value of "interface.mtu" is out of range. It must be an integer >= 576 (RFC 791) && <= 65535. Received 575',
  ],
  [
    'a name that is too long',
    () => withInterface({ name: 'sixteencharacter' }),
    'ENAMETOOLONG',
    "The interface name 'sixteencharacter' (interface.name) has 16 bytes; 15 are the most. Choose a shorter one.",
  ],
  [
    'a name that is taken',
    () => {
      const [left, right] = createLink();
      return {
        interfaces: [
          { device: left, addresses: ['198.18.0.1/24'], name: 'a' },
          { device: right, addresses: ['198.18.1.1/24'], name: 'a' },
        ],
      };
    },
    'EEXIST',
    "The stack has an interface named 'a' already. Give this one another name: { name: '...', device, addresses }.",
  ],
  [
    'a next hop that is on no link',
    () => ({ ...withInterface({}), routes: [{ to: 'default', via: '198.19.0.1' }] }),
    'ERR_INVALID_ARG_VALUE',
    "The property 'route.via' is on no link of this stack: give an interface an address in its network, or name the interface. Received '198.19.0.1'",
  ],
  [
    'a next hop of the other family',
    () => ({ ...withInterface({}), routes: [{ to: '2001:db8::/32', via: '198.18.0.9' }] }),
    'ERR_INVALID_ARG_VALUE',
    "The property 'route.via' must be of the same family as the prefix '2001:db8::/32'. Received '198.18.0.9'",
  ],
  [
    'an interface that is not there',
    () => ({ ...withInterface({ name: 'a' }), routes: [{ to: 'default', interface: 'b' }] }),
    'ERR_INVALID_ARG_VALUE',
    "The argument 'interface' is no interface of this stack, which has: 'a'. Received 'b'",
  ],
  [
    'a buffer that is too small',
    () => ({ recvBuffer: 1 }),
    'ERR_OUT_OF_RANGE',
    'The value of "options.recvBuffer" is out of range. It must be >= 2048 && <= 1073741824. Received 1',
  ],
  [
    'a device that is none',
    () => ({ interfaces: [{ device: 'un0' as never, addresses: [] }] }),
    'ERR_INVALID_ARG_VALUE',
    "The property 'interface.device' must be made by tun(), tap(), packetSocket(), unixSocket(), framePort() or createLink(). Received 'un0'",
  ],
])('%s', async (_, options, code, message) => {
  expect(await failure(() => createStack(options()))).toEqual({ code, message });
});

test('tun() checks what it is given at once', async () => {
  expect(await failure(() => tun({ name: 'a name with blanks' }))).toMatchObject({ code: 'ENAMETOOLONG' });
  expect(await failure(() => tun({ name: 'a/b' }))).toMatchObject({ code: 'ERR_INVALID_ARG_VALUE' });
  expect(await failure(() => tun({ queueLength: 0 }))).toMatchObject({ code: 'ERR_OUT_OF_RANGE' });
  expect(await failure(() => tun({ up: 1 as never }))).toMatchObject({ code: 'ERR_INVALID_ARG_TYPE' });
});

test('createLink() checks what it is given', async () => {
  expect(await failure(() => createLink({ loss: 2 }))).toEqual({
    code: 'ERR_OUT_OF_RANGE',
    message: 'The value of "options.loss" is out of range. It must be >= 0 && <= 1. Received 2',
  });
  expect(await failure(() => createLink({ mtu: 67 }))).toMatchObject({ code: 'ERR_OUT_OF_RANGE' });
});

test('one end of a link is for one stack', async () => {
  const [left] = createLink();
  const stack = await createStack({ interfaces: [{ device: left, addresses: ['198.18.0.1/24'] }] });
  const again = await failure(() => createStack({ interfaces: [{ device: left, addresses: ['198.18.0.2/24'] }] }));
  expect(again.code).toEqual(expect.any(String));
  expect(again.message).not.toBe('nothing was wrong');
  await stack.close();
});

test.each([
  ['198.18.0.0/15', '198.19.255.255', true],
  ['198.18.0.0/15', '198.20.0.0', false],
  ['0.0.0.0/0', '192.0.2.1', true],
  ['0.0.0.0/0', '::1', false],
  ['2001:db8::/32', '2001:db8:ffff::1', true],
  ['2001:db8::/32', '2001:db9::', false],
  ['fd00::2/64', 'fd00::ffff:192.0.2.1', true],
  ['::1/128', '::1', true],
  ['::1/128', '::2', false],
  ['::/0', 'fe80::1%eth0', true],
])('%s contains %s: %p', (prefix, address, expected) => {
  expect(contains(prefix, address)).toBe(expected);
});
