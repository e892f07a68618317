// Where the programs are that tests and the demo use: on the PATH, or where Debian puts what is not on everybody's.

const { existsSync, readdirSync, statSync } = require('node:fs');
const path = require('node:path');

/** Debian keeps each version of PostgreSQL in a folder of its own. */
const POSTGRES = '/usr/lib/postgresql';

/** The folders that are looked in, in this order. */
function folders() {
  const versions = existsSync(POSTGRES) ? readdirSync(POSTGRES).sort((a, b) => Number(b) - Number(a)) : [];
  return [
    ...(process.env.PATH ?? '').split(path.delimiter).filter((folder) => folder !== ''),
    '/usr/sbin',
    '/sbin',
    ...versions.map((version) => path.join(POSTGRES, version, 'bin')),
  ];
}

/** The path of a program, or null where it is not installed. */
function findProgram(name) {
  const extensions = process.platform === 'win32' ? ['.exe', '.cmd', ''] : [''];
  for (const folder of folders()) {
    for (const extension of extensions) {
      const file = path.join(folder, name + extension);
      if (existsSync(file) && statSync(file).isFile()) return file;
    }
  }
  return null;
}

module.exports = { findProgram };
