// Files of a folder by URL path, and nothing outside that folder. Used by both static file servers.

import { constants } from 'node:fs';
import { type FileHandle, open, realpath, stat } from 'node:fs/promises';
import path from 'node:path';

/** An open file and how long it was when it was opened. Whoever gets it closes it. */
export interface OpenFile {
  handle: FileHandle;
  size: number; // bytes
  type: string; // media type
}

const TYPES: Record<string, string> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
};

/**
 * Opens the file that a request target names (`/a%20b.txt?x=1`), or gives null where there is none that may be served:
 * a target that is not a path, that is not valid percent-encoding, that holds a NUL, that steps out of the folder by
 * dot-dot or by a symbolic link, or that is not a regular file. A folder is served by its index.html.
 */
export async function openInside(folder: string, target: string): Promise<OpenFile | null> {
  const relative = decodeTarget(target);
  if (relative === null) return null;
  try {
    const root = await realpath(folder);
    let file = await realpath(path.join(root, relative));
    if ((await stat(file)).isDirectory()) file = await realpath(path.join(file, 'index.html'));
    // After every link is resolved: is it still in the folder?
    if (!file.startsWith(root.endsWith(path.sep) ? root : root + path.sep)) return null;
    // O_NOFOLLOW: the name may have become a link since. O_NONBLOCK: or a pipe, which would wait for its writer.
    const handle = await open(file, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0));
    const now = await handle.stat();
    if (now.isFile()) {
      return { handle, size: now.size, type: TYPES[path.extname(file)] ?? 'application/octet-stream' };
    }
    await handle.close();
    return null;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (['ENOENT', 'ENOTDIR', 'EACCES', 'ELOOP', 'ENAMETOOLONG', 'ENXIO', 'EPERM'].includes(code)) return null;
    throw error;
  }
}

/** The relative path in a request target, decoded once; null when it could mean a place outside. */
function decodeTarget(target: string): string | null {
  // RFC 9112 section 3.2.2: servers take the absolute form too.
  const withoutOrigin = target.replace(/^https?:\/\/[^/?#]*/i, '');
  const [encoded = ''] = withoutOrigin.split(/[?#]/, 1);
  let decoded: string;
  try {
    decoded = decodeURIComponent(encoded);
  } catch {
    return null;
  }
  if (!decoded.startsWith('/') || decoded.includes('\0') || decoded.includes('\\')) return null;
  const parts = decoded.split('/').filter((part) => part !== '' && part !== '.');
  // A colon names a drive or an alternate stream on Windows.
  if (parts.includes('..') || (process.platform === 'win32' && decoded.includes(':'))) return null;
  return parts.join('/');
}
