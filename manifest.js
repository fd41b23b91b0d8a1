// What is inside of the release for one architecture, with versions, terms and checksums, in the form of CycloneDX. Usage: manifest.js [x64 | arm64] [DIRECTORY]
import {createHash} from 'node:crypto';
import {readFileSync, writeFileSync} from 'node:fs';
import {join, resolve} from 'node:path';
import {arch as ownArchitecture} from 'node:os';
import {compilerOf, engineOf} from './engine.js';
import {architecture, description, destination, fill, run, staged, version} from './tree.js';

/** Bun's parts, by their terms as LICENSES has them; each with the name by which Bun tells its version, where it does. The rest is that of its commit. */
const PARTS = {
  'Apache-2.0': {BoringSSL: 'boringssl', highway: '', simdutf: '', uSockets: 'usockets', uWebSockets: 'uwebsockets', TigerBeetle: '', "Rust's standard library": ''},
  'Apache-2.0 WITH LLVM-exception': {'libc++abi': ''},
  'BSD-2-Clause': {arrayref: '', HdrHistogram_c: '', libarchive: 'libarchive', libbase64: '', libspng: ''},
  'BSD-3-Clause': {'libjpeg-turbo': '', libwebp: '', 'lol-html': 'lolhtml', subtle: '', encoding_rs: '', zstd: 'zstd'},
  'LGPL-2.0-or-later AND BSD-2-Clause': {WebKit: 'webkit'},
  'LGPL-2.1-or-later': {tinycc: 'tinycc'},
  MIT: {
    brotli: '', 'c-ares': 'ares', esbuild: '', libdeflate: 'libdeflate', llhttp: 'llhttp', 'Node.js': '', 'ls-hpack': 'lshpack', 'ls-qpack': '', lsquic: '',
    mimalloc: 'mimalloc', picohttpparser: 'picohttpparser', uucode: '', phf: '', strum: '', 'generic-array': '', new_debug_unreachable: '',
    'precomputed-hash': '', 'typed-arena': '', blake2b_simd: '', acorn: '', assert: '', 'browserify-zlib': '', buffer: '', 'constants-browserify': '',
    'crypto-browserify': '', 'domain-browser': '', events: '', 'https-browserify': '', 'os-browserify': '', 'path-browserify': '', process: '', punycode: '',
    'querystring-es3': '', 'stream-browserify': '', 'stream-http': '', string_decoder: '', 'timers-browserify': '', 'tty-browserify': '', url: '', util: '',
    'vm-browserify': '',
  },
  'MPL-2.0': {cssparser: '', 'dtoa-short': '', selectors: ''},
  'Unicode-3.0': {ICU: 'icu'},
  Zlib: {'zlib-ng': 'zlib', const_format: '', foldhash: ''},
  blessing: {SQLite: 'sqlite'},
};

/** What Bun tells beside its own version and those of its parts: which others it behaves like, and what it was built with. */
const NO_PARTS = ['bun', 'node', 'openssl', 'v8', 'uv', 'napi', 'modules', 'unicode', 'typescript', 'zig'];

const file = resolve(destination, `jobbus-run-${version}-linux-${architecture}.cdx.json`);

staged(stage => {
  fill(stage);
  const components = [
    program(stage, 'bin/jobbus-run', libraries()),
    program(stage, 'lib/jobbus-run/supervisor', [engine()]),
  ];
  const component = {type: 'application', name: 'jobbus-run', version, description, licenses: terms('MIT')};
  writeFileSync(file, `${JSON.stringify({bomFormat: 'CycloneDX', specVersion: '1.5', version: 1, metadata: {component}, components}, undefined, 2)}\n`);
  console.log(file);
});

function program(root, name, components) {
  const content = createHash('sha256').update(readFileSync(join(root, name))).digest('hex');
  return {type: 'file', name, hashes: [{alg: 'SHA-256', content}], licenses: terms('MIT'), components};
}

/** Those that the frame is linked with. */
function libraries() {
  const compiler = compilerOf(architecture);
  const glibc = run('sh', '-c', 'echo __GLIBC__.__GLIBC_MINOR__ | "$1" -E -P -include features.h - | tr -d " " | tail -n 1', 'sh', compiler).trim();
  return [
    {type: 'library', name: 'glibc', version: glibc, licenses: terms('LGPL-2.1-or-later')},
    {type: 'library', name: 'libgcc', version: run(compiler, '-dumpfullversion').trim(), licenses: terms('GPL-3.0-or-later WITH GCC-exception-3.1')},
  ];
}

/** Of another architecture's engine, this machine's has the same parts: they are of one version. */
function engine() {
  const versions = JSON.parse(run(engineOf(ownArchitecture()), '--print', 'JSON.stringify(process.versions)'));
  const components = Object.entries(PARTS).flatMap(([licence, parts]) => Object.entries(parts).map(([name, key]) => part(name, versions[key], licence)));
  const known = [...NO_PARTS, ...Object.values(PARTS).flatMap(parts => Object.values(parts))];
  const unknown = Object.keys(versions).filter(key => !known.includes(key));
  if (unknown.length > 0) {
    throw new Error(`Bun tells of parts that the manifest does not know: ${unknown.join(', ')}`);
  }

  return {type: 'framework', name: 'bun', version: versions.bun, licenses: terms('MIT'), components};
}

function part(name, found, licence) {
  return {type: 'library', name, ...(found === undefined ? {} : {version: found}), licenses: terms(licence)};
}

function terms(expression) {
  return [{expression}];
}
