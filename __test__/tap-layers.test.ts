// What is beside TCP against the kernel's own programs over TAPs: what layers-suite.ts has.

import { layers } from './support/layers-suite';
import { describeTun } from './support/netns';

jest.setTimeout(120_000);

describeTun('the layers beside TCP and the kernel over TAPs', () => {
  layers('tap');
});
