// The `net`s that parity tests run on: the real one, ours over the fake stack, ours over the native stack.
import * as realNet from 'node:net';
import { loadBinding, type NativeBinding } from '../../src/native';
import { createNet, type Net } from '../../src/net/bind';
import { Reactor } from '../../src/reactor';
import { fakeBinding } from './fake-native';

/** One `net` under test. */
export interface TestedNet {
  name: string;
  net: Net;
  /** Lets it go after the tests. */
  close(): void;
}

function over(name: string, binding: () => NativeBinding): TestedNet {
  let reactor: Reactor | undefined;
  const net = createNet(() => {
    reactor ??= new Reactor(binding(), {});
    return reactor;
  });
  return { name, net, close: () => reactor?.close() };
}

/** Whether the native binding was built. */
export function hasBinding(): boolean {
  try {
    loadBinding();
    return true;
  } catch {
    return false;
  }
}

/** All of them; a difference between the first and the others is a failure. */
export function testedNets(): TestedNet[] {
  const nets = [
    { name: 'node:net', net: realNet as unknown as Net, close: () => {} },
    over('usernet over the fake stack', () => fakeBinding),
  ];
  if (hasBinding()) nets.push(over('usernet', loadBinding));
  return nets;
}
