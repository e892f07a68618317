// Made by scripts/types.mjs from src/testing/: do not edit.
import * as testing from './testing.js';
export * from './testing.js';
export default testing;
