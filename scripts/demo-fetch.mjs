// The demo's client where curl is missing: GETs a URL over the kernel's TCP and writes the body to standard output.

import http from 'node:http';
import process from 'node:process';

http
  .get(process.argv[2], (response) => {
    process.exitCode = response.statusCode === 200 ? 0 : 1;
    response.pipe(process.stdout);
  })
  .on('error', (error) => {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  });
