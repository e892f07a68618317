// `net` over the fake stack, for Node's own tests: `run.mjs --net <this, compiled>`.
import { createNet } from '../../src/net/bind';
import { Reactor } from '../../src/reactor';
import { fakeBinding } from './fake-native';

let reactor: Reactor | undefined;
export = createNet(() => {
  reactor ??= new Reactor(fakeBinding, {});
  return reactor;
});
