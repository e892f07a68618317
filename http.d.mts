// Made by scripts/types.mjs from src/http.ts: do not edit.
import http from 'node:http';
export * from './http.js';
declare const onStack: typeof http;
export default onStack;
