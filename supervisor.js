// Compiles the supervisor: the sources and the engine in one file. Run by that engine: bun supervisor.js FILE VERSION [ENGINE ARCHITECTURE]
/* global Bun */
const [outfile, version, executablePath, architecture] = process.argv.slice(2);
// Bun puts what it knows of the target into the sources, such as process.arch: the engine alone does not tell it.
const foreign = executablePath === undefined ? {} : {executablePath, target: `bun-linux-${architecture}`};

const result = await Bun.build({
  entrypoints: ['src/main.ts'],
  // Neither the user's .env nor his bunfig.toml is to mean anything to us.
  compile: {outfile, autoloadDotenv: false, autoloadBunfig: false, ...foreign},
  target: 'bun',
  format: 'cjs',
  minify: true,
  bytecode: true,
  define: {VERSION: JSON.stringify(version)},
});
if (!result.success) {
  console.error(result.logs.join('\n'));
  process.exit(1);
}
