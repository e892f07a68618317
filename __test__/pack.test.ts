// What a user installs: both tarballs in an empty folder, without cargo, in ESM, CommonJS and TypeScript.

import { execFile, execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

const root = path.resolve(__dirname, '..');
const run = promisify(execFile);

/** A server on the default stack's loopback, one request, and the answer printed. */
const program = (imports: string): string => `${imports}

const server = createServer((socket) => {
  socket.setEncoding('utf8').once('data', (text) => socket.end('you said ' + text));
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  const port = address !== null && typeof address === 'object' ? address.port : 0;
  const socket = connect({ port, host: '127.0.0.1' }, () => socket.write('hello'));
  let answer = '';
  socket.setEncoding('utf8').on('data', (text) => {
    answer += text;
  });
  socket.on('close', () => {
    console.log(answer);
    server.close();
  });
});
`;

/** How the names are imported, in every way that is offered. */
const imports = {
  'root.mjs': "import { connect, createServer } from 'usernet';",
  'root-default.mjs': "import usernet from 'usernet'; const { connect, createServer } = usernet;",
  'net.mjs': "import net, { createServer } from 'usernet/net'; const { connect } = net;",
  'root.cjs': "const { connect, createServer } = require('usernet');",
  'net.cjs': "const { connect, createServer } = require('usernet/net');",
  'root.mts': "import { connect, createServer } from 'usernet';",
  'net.mts': "import net, { createServer } from 'usernet/net'; const { connect } = net;",
  'root.cts': "import { connect, createServer } from 'usernet';",
  'net.cts': "import net = require('usernet/net'); const { connect, createServer } = net;",
};

jest.setTimeout(180_000);

describe('the packed package', () => {
  let folder: string;
  let env: NodeJS.ProcessEnv;
  let tarballs: string[];

  beforeAll(async () => {
    folder = realpathSync(mkdtempSync(path.join(tmpdir(), 'usernet-pack-')));
    const npm = execFileSync('npm', ['root', '--global'], { encoding: 'utf8' }).trim();
    const npmCli = path.join(npm, 'npm', 'bin', 'npm-cli.js');
    // What `npm test` built is what is packed.
    await run(process.execPath, [npmCli, 'pack', '--pack-destination', folder], {
      cwd: root,
      env: { ...process.env, USERNET_NO_BUILD: '1' },
    });
    tarballs = readdirSync(folder).filter((name) => name.endsWith('.tgz'));
    // Nothing but Node on the PATH: no cargo, no compiler.
    const bin = path.join(folder, 'bin');
    mkdirSync(bin);
    symlinkSync(process.execPath, path.join(bin, 'node'));
    symlinkSync('/bin/sh', path.join(bin, 'sh'));
    env = { PATH: bin, HOME: folder };
    const app = path.join(folder, 'app');
    mkdirSync(app);
    writeFileSync(path.join(app, 'package.json'), '{ "name": "app", "private": true }');
    const files = tarballs.map((name) => path.join(folder, name));
    // Offline: all that it needs is in the two tarballs.
    await run(process.execPath, [npmCli, 'install', '--offline', '--no-audit', '--no-fund', ...files], {
      cwd: app,
      env,
    });
    for (const [name, text] of Object.entries(imports)) writeFileSync(path.join(app, name), program(text));
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test('is two tarballs: the package, and the binary for this platform', () => {
    expect(tarballs).toHaveLength(2);
    expect(tarballs).toContainEqual(expect.stringMatching(/^usernet-\d+\.\d+\.\d+\.tgz$/));
    expect(tarballs).toContainEqual(
      expect.stringMatching(/^usernet-(linux|darwin|win32)-\w+(-\w+)?-\d+\.\d+\.\d+\.tgz$/),
    );
  });

  test('holds what a user needs and nothing else', () => {
    const installed = path.join(folder, 'app', 'node_modules', 'usernet');
    const types = ['index', 'net', 'dgram', 'http', 'testing'].flatMap((name) => [`${name}.d.ts`, `${name}.d.mts`]);
    // The one dependency comes along, so that installing needs no network.
    const known = ['CHANGELOG.md', 'LICENSE', 'README.md', 'dist', 'node_modules', 'package.json', ...types];
    for (const name of readdirSync(installed)) expect(known).toContain(name);
    const manifest = JSON.parse(readFileSync(path.join(installed, 'package.json'), 'utf8'));
    expect(Object.keys(manifest.optionalDependencies).sort()).toEqual([
      'usernet-darwin-arm64',
      'usernet-darwin-x64',
      'usernet-linux-arm64-gnu',
      'usernet-linux-x64-gnu',
      'usernet-linux-x64-musl',
      'usernet-win32-x64-msvc',
    ]);
    for (const version of Object.values(manifest.optionalDependencies)) expect(version).toBe(manifest.version);
    expect(manifest.scripts).toEqual({});
  });

  test('leaves the repository as it was', () => {
    const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
    expect(manifest.optionalDependencies).toBeUndefined();
    expect(manifest.devDependencies).toBeDefined();
  });

  test.each(Object.keys(imports).filter((name) => name.endsWith('js')))('%s serves one request', async (name) => {
    const { stdout, stderr } = await run(process.execPath, [name], {
      cwd: path.join(folder, 'app'),
      env,
      timeout: 20_000,
    });
    expect({ stdout, stderr }).toEqual({ stdout: 'you said hello\n', stderr: '' });
  });

  test('TypeScript checks the programs, in both module systems, and they serve one request', async () => {
    const app = path.join(folder, 'app');
    const programs = Object.keys(imports).filter((name) => name.endsWith('ts'));
    const config = {
      compilerOptions: {
        target: 'es2022',
        module: 'node16',
        strict: true,
        skipLibCheck: false,
        esModuleInterop: true,
        outDir: 'out',
        typeRoots: [path.join(root, 'node_modules', '@types')],
        types: ['node'],
      },
      files: programs,
    };
    writeFileSync(path.join(app, 'tsconfig.json'), JSON.stringify(config));
    const tsc = path.join(root, 'node_modules', 'typescript', 'bin', 'tsc');
    const check = await run(process.execPath, [tsc, '-p', '.'], { cwd: app, env }).catch((error) => error);
    expect(check.stdout).toBe('');
    for (const name of programs) {
      const file = path.join('out', name.replace('ts', 'js'));
      const { stdout } = await run(process.execPath, [file], { cwd: app, env, timeout: 20_000 });
      expect([name, stdout]).toEqual([name, 'you said hello\n']);
    }
  });
});
