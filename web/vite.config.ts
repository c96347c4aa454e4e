// How the page is bundled into dist, and how `npm run dev` and the tests run. Knows nothing of how the service embeds it.
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

import { precompress } from './build/precompress.ts';
import { redoc } from './build/redoc.ts';

const service = process.env.PIPECAST_URL ?? 'http://127.0.0.1:8080';

export default defineConfig({
  plugins: [svelte(), redoc(), precompress()],
  build: {
    // The oldest browsers that know light-dark() and oklch().
    target: ['chrome123', 'edge123', 'firefox121', 'safari17.5'],
    modulePreload: { polyfill: false },
    // A file of its own for everything: the page's content security policy allows no inline script.
    assetsInlineLimit: 0,
    license: { fileName: 'licenses.md' },
  },
  server: {
    proxy: {
      // Under the name that the browser used, which the service holds against the origin of the page.
      '/admin': { target: service },
      '/api': service,
      '/webhooks': service,
      '/health': service,
      '/ws': { target: service, ws: true },
    },
  },
  test: {
    include: ['tests/**/*.test.ts'],
    // The browser tests each start a service and a browser; at once they would only wait for each other.
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
