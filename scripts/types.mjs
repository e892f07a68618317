#!/usr/bin/env node
// Makes index.d.ts, the package's whole public type surface in one file, and what refers to it: net.d.ts and dgram.d.ts, the
// faces of `usernet/net` and `usernet/dgram`, http.d.ts, and all of them as ES modules (.d.mts), whose default export TypeScript would otherwise take for CommonJS's.
//   node scripts/types.mjs            writes them
//   node scripts/types.mjs --check    fails, showing where, when what is committed differs

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { ensureNodeModules, fail, mustTool, root, say } from './support.mjs';

ensureNodeModules();
const output = path.join(root, 'target', 'types');
rmSync(output, { recursive: true, force: true });
mkdirSync(output, { recursive: true });

const files = [
  'index.d.ts',
  'index.d.mts',
  'net.d.ts',
  'net.d.mts',
  'dgram.d.ts',
  'dgram.d.mts',
  'http.d.ts',
  'http.d.mts',
  'testing.d.ts',
  'testing.d.mts',
];
const header = (from) => `// Made by scripts/types.mjs from ${from}: do not edit.\n`;

makeBundle('index', 'src/index.ts', 'The public types of usernet, all of them.');
makeBundle('testing', 'src/testing/index.ts', 'The types of `usernet/testing`.');
makeFace('net');
makeFace('dgram');
makeHttp();
makeModuleFaces();
checkThem();

if (process.argv.includes('--check')) {
  const stale = files.filter((name) => read(path.join(output, name)) !== read(path.join(root, name)));
  for (const name of stale) say(`${name} is stale, ${firstDifference(name)}`);
  if (stale.length > 0) fail('npm run types makes them anew; commit what it makes');
  say(`${files.join(', ')} are what src/ says`);
} else {
  for (const name of files) writeFileSync(path.join(root, name), read(path.join(output, name)));
  say(`made ${files.join(', ')}`);
}

/** Bundles the types of a module; what is not exported there stays unexported. */
function makeBundle(name, source, about) {
  const bundled = path.join(output, `${name}.d.ts`);
  const args = ['--project', 'tsconfig.types.json', '--silent', '--no-check', '--no-banner'];
  mustTool('dts-bundle-generator', [...args, '--export-referenced-types=false', '--out-file', bundled, source]);
  const title = `// ${about}\n${header('src/')}\n`;
  const text = read(bundled).replaceAll('\t', '  ');
  writeFileSync(bundled, title + missingImports(text) + text);
}

/** The bundler loses `import type * as realX from 'node:x'` where only `typeof realX` uses it. */
function missingImports(text) {
  const used = new Set([...text.matchAll(/typeof (real[A-Z]\w*)/g)].map((match) => match[1]));
  return [...used]
    .filter((name) => !text.includes(`import * as ${name} from`))
    .map((name) => `import * as ${name} from 'node:${name.slice('real'.length).toLowerCase()}';\n`)
    .join('');
}

/**
 * src/net.ts and src/dgram.ts are nearly declarations already: their types come from index.d.ts, their values are
 * properties of a `Net` and a `Dgram`.
 */
function makeFace(face) {
  const source = read(path.join(root, 'src', `${face}.ts`));
  const text = source
    .replace(/^\/\/.*\n/, `// The types of \`usernet/${face}\`.\n${header(`src/${face}.ts`)}`)
    .replace(/from '\.\/[\w/-]+'/g, "from './index'")
    .replace(/export const \{([^}]*)\} = \w+;/, (_all, names) =>
      names
        .split(',')
        .map((name) => name.trim())
        .filter((name) => name !== '')
        .map((name) => `export declare const ${name}: typeof ${face}.${name};`)
        .join('\n'),
    );
  writeFileSync(path.join(output, `${face}.d.ts`), text);
}

/** `usernet/http` has the types of `node:http`. */
function makeHttp() {
  const lines = [
    "import http = require('node:http');",
    "export * from 'node:http';",
    'declare const onStack: typeof http;',
  ];
  const text = ['// The types of `usernet/http`: those of `node:http`.', ...lines, 'export default onStack;', ''].join(
    '\n',
  );
  writeFileSync(path.join(output, 'http.d.ts'), text.replace('\n', `\n${header('src/http.ts')}`));
}

/** The same for `import`: the names are those of the CommonJS types, the default export is the real one. */
function makeModuleFaces() {
  const index = [
    "import * as usernet from './index.js';",
    "export * from './index.js';",
    'export default usernet;',
    '',
  ];
  writeFileSync(path.join(output, 'index.d.mts'), header('src/index.ts') + index.join('\n'));
  const http = ["import http from 'node:http';", "export * from './http.js';", 'declare const onStack: typeof http;'];
  writeFileSync(
    path.join(output, 'http.d.mts'),
    [header('src/http.ts').trim(), ...http, 'export default onStack;', ''].join('\n'),
  );
  const testing = [
    "import * as testing from './testing.js';",
    "export * from './testing.js';",
    'export default testing;',
    '',
  ];
  writeFileSync(path.join(output, 'testing.d.mts'), header('src/testing/') + testing.join('\n'));
  for (const face of ['net', 'dgram']) {
    const lines = [
      `import { ${face} } from './index.js';`,
      `export * from './${face}.js';`,
      `export default ${face};`,
      '',
    ];
    writeFileSync(path.join(output, `${face}.d.mts`), header(`src/${face}.ts`) + lines.join('\n'));
  }
}

/** The files as a user's strict compiler sees them. */
function checkThem() {
  const args = ['--noEmit', '--strict', '--module', 'node16', '--target', 'es2022', '--types', 'node'];
  mustTool('tsc', [...args, ...files.map((name) => path.join(output, name))]);
}

function read(file) {
  try {
    return readFileSync(file, 'utf8').replaceAll('\r\n', '\n');
  } catch {
    return '';
  }
}

function firstDifference(name) {
  const made = read(path.join(output, name)).split('\n');
  const committed = read(path.join(root, name)).split('\n');
  const line = made.findIndex((text, index) => text !== committed[index]);
  return `first in line ${line + 1}: committed ${JSON.stringify(committed[line] ?? null)}, made ${JSON.stringify(made[line])}`;
}
