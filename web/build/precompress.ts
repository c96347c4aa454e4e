// Writes a .gz and a .br beside every text file of the build, so that the service compresses nothing while it serves.
// Knows nothing of what the files mean.
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';

import type { Plugin } from 'vite';

const TEXT = /\.(js|css|html|svg|json|txt|md|webmanifest)$/;
/** Below this a compressed answer saves nothing: it fits one packet anyway. */
const SMALLEST = 700;

export function precompress(): Plugin {
  let folder = '';
  return {
    name: 'pipecast:precompress',
    apply: 'build',
    enforce: 'post',
    configResolved(config) {
      folder = config.build.outDir;
    },
    closeBundle: {
      order: 'post',
      sequential: true,
      async handler() {
        const files = await readdir(folder, { recursive: true, withFileTypes: true });
        await Promise.all(
          files.filter((file) => file.isFile() && TEXT.test(file.name)).map((file) => compress(join(file.parentPath, file.name))),
        );
      },
    },
  };
}

async function compress(path: string): Promise<void> {
  const raw = await readFile(path);
  if (raw.length < SMALLEST) return;
  const [gz, br] = await Promise.all([
    promisify(gzip)(raw, { level: 9 }),
    promisify(brotliCompress)(raw, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: raw.length } }),
  ]);
  await Promise.all([writeFile(`${path}.gz`, gz), writeFile(`${path}.br`, br)]);
}
