// Puts Redoc's standalone bundle with its licences into the build, for the service's /redoc. Nothing of it reaches the page itself.
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

import type { Plugin } from 'vite';

export function redoc(): Plugin {
  let folder = '';
  return {
    name: 'pipecast:redoc',
    apply: 'build',
    configResolved(config) {
      folder = join(config.build.outDir, 'redoc');
    },
    closeBundle: {
      sequential: true,
      async handler() {
        const home = dirname(createRequire(import.meta.url).resolve('redoc/package.json'));
        await mkdir(folder, { recursive: true });
        const script = await readFile(join(home, 'bundles/redoc.standalone.js'), 'utf8');
        // The one thing that it would fetch from elsewhere: the maker's sign beside the maker's name, which stays.
        await writeFile(join(folder, 'redoc.standalone.js'), script.replaceAll('https://cdn.redoc.ly/redoc/logo-mini.svg', 'data:,'));
        await cp(join(home, 'bundles/redoc.standalone.js.LICENSE.txt'), join(folder, 'redoc.standalone.js.LICENSE.txt'));
        await cp(join(home, 'LICENSE'), join(folder, 'LICENSE.txt'));
      },
    },
  };
}
