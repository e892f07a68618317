// Made by scripts/types.mjs from src/index.ts: do not edit.
import * as usernet from './index.js';
export * from './index.js';
export default usernet;
