// The stack that `usernet/net` is on: one per thread, made when it is first needed, with loopback only until it is given
// more.
import { bindDgram, type Dgram } from './dgram/bind';
import { codedError } from './errors';
import { bindNet, type Net } from './net/bind';
import { NetContext } from './net/context';
import type { StackOptions } from './options';
import { kReactor, openStack, type Stack } from './stack';

let stack: Stack | null = null;

/**
 * The default stack of this thread. Given devices with `addInterface` and `addRoute`, `usernet/net` reaches beyond this
 * process.
 */
export function defaultStack(): Stack {
  if (stack === null || stack.closed) stack = openStack();
  return stack;
}

/**
 * Makes the default stack with options, before anything has used it.
 * Throws `ERR_DEFAULT_STACK_IN_USE` after that.
 */
export function configureDefaultStack(options: StackOptions): Stack {
  if (stack !== null && !stack.closed) {
    throw codedError(
      Error,
      'ERR_DEFAULT_STACK_IN_USE',
      'The default stack is in use already. Configure it before the first connect or listen, or give it interfaces with defaultStack().addInterface().',
    );
  }
  stack = openStack(options);
  return stack;
}

/** What the default stack's sockets and servers share; the stack itself is made with the first of them. */
export const netContext = new NetContext(() => defaultStack()[kReactor]);

/** `node:net` on the default stack. */
export const net: Net = bindNet(netContext);

/** `node:dgram` on the default stack. */
export const dgram: Dgram = bindDgram(netContext);
