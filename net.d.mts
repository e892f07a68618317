// Made by scripts/types.mjs from src/net.ts: do not edit.
import { net } from './index.js';
export * from './net.js';
export default net;
