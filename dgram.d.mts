// Made by scripts/types.mjs from src/dgram.ts: do not edit.
import { dgram } from './index.js';
export * from './dgram.js';
export default dgram;
