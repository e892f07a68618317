// `usernet/http`: `node:http` on the default stack. `createServer(...).listen()` listens on it, requests connect on it.
import { createHttp, type Http } from './adapters/http';
import { net, netContext } from './default-stack';

const http = createHttp(net, netContext);

export type { Http, Https } from './adapters/http';

export const {
  _connectionListener,
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
  setMaxIdleHTTPParsers,
  STATUS_CODES,
  validateHeaderName,
  validateHeaderValue,
} = http as Http & { _connectionListener: unknown };

export default http;
