// Fails when what a first visit loads has grown past its budget: 60 KB of JavaScript and 15 KB of CSS, both gzipped.
// Counts what index.html names and what those scripts import at once; /redoc is another page and not counted.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const dist = fileURLToPath(new URL('../dist', import.meta.url));
const budget = { js: 60_000, css: 15_000 };

const spent = { js: 0, css: 0 };
const seen = new Set();
const html = readFileSync(`${dist}/index.html`, 'utf8');
for (const [, path] of html.matchAll(/(?:src|href)="(\/[^"]+\.(?:js|css))"/g)) count(path);

let over = false;
for (const kind of ['js', 'css']) {
  const share = Math.round((100 * spent[kind]) / budget[kind]);
  console.log(`${kind}: ${(spent[kind] / 1000).toFixed(1)} KB gzip of ${budget[kind] / 1000} KB (${share} %)`);
  over ||= spent[kind] > budget[kind];
}
if (/<script(?![^>]*\bsrc=)/.test(html)) {
  console.error('index.html holds an inline script, which its content security policy forbids');
  over = true;
}
process.exit(over ? 1 : 0);

function count(path) {
  if (seen.has(path)) return;
  seen.add(path);
  const text = readFileSync(dist + path, 'utf8');
  spent[path.endsWith('.css') ? 'css' : 'js'] += gzipSync(text, { level: 9 }).length;
  if (!path.endsWith('.js')) return;
  const folder = path.slice(0, path.lastIndexOf('/') + 1);
  for (const [, name] of text.matchAll(/(?:from|import)\s*["'](\.\/[^"']+\.js)["']/g)) count(folder + name.slice(2));
}
