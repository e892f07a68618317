// The types of `usernet/http`: those of `node:http`.
// Made by scripts/types.mjs from src/http.ts: do not edit.
import http = require('node:http');
export * from 'node:http';
declare const onStack: typeof http;
export default onStack;
