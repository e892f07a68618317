// `usernet/http`: `node:http` on the default stack. `createServer(...).listen()` listens on it, requests connect on it.
import { createHttp } from './adapters/http';
import { net, netContext } from './default-stack';

const http = createHttp(net, netContext);

export type { Http, Https } from './adapters/http';

export const {
  Agent,
  ClientRequest,
  createServer,
  get,
  globalAgent,
  IncomingMessage,
  maxHeaderSize,
  METHODS,
  OutgoingMessage,
  request,
  Server,
  ServerResponse,
  STATUS_CODES,
  validateHeaderName,
  validateHeaderValue,
} = http;

export default http;
