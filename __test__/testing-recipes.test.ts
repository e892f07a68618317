// The recipes of docs/testing.md, each run as it stands.
import { databasePartition } from '../examples/recipes/database-partition';
import { httpRetry } from '../examples/recipes/http-retry';
import { mtuBlackHole } from '../examples/recipes/mtu-black-hole';
import { poolAfterCrash } from '../examples/recipes/pool-after-crash';
import { slowLoris } from '../examples/recipes/slow-loris';
import { thunderingHerd } from '../examples/recipes/thundering-herd';
import { upload2g } from '../examples/recipes/upload-2g';
import { websocketHalfOpen } from '../examples/recipes/websocket-half-open';

// Each asserts what it shows; twice, for the same seed gives the same.
jest.setTimeout(120_000);

test.each([
  ['a database client during a partition', databasePartition],
  ["an HTTP client's retry under 5% loss", httpRetry],
  ["a WebSocket's half-open peer", websocketHalfOpen],
  ['a slow-loris server', slowLoris],
  ['an upload over 2G', upload2g],
  ['a connection pool after a crash and restart', poolAfterCrash],
  ['an MTU black hole', mtuBlackHole],
  ['a thundering herd', thunderingHerd],
])('%s', async (_name, recipe: () => Promise<unknown>) => {
  expect(await recipe()).toEqual(await recipe());
});
