import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { build, type Plugin } from 'esbuild'
import { cacheName, PROGRAM_ASSET } from './program/assets.ts'
import { recorderOf, rehearseAgents, rehearseCommand } from './program/rehearsal.ts'

const ROOT = resolve(import.meta.dirname, '..')
const NODE_MAJOR = 26
const ADDON_ASSET = 'classic-level.node'

/** What to build and where. */
export interface BuildOptions {
  /** The program: a TypeScript file; everything it imports, also dynamically, is bundled. */
  readonly entry: string
  /** Path of the executable. Replaced as a whole, also while the old one runs. */
  readonly output: string
  /** Drop the symbol table of Node (about 30 MB) when a `strip` program is there. Default true. */
  readonly strip?: boolean
  /**
   * Run the program's `agent` too, so that its compiled code is in the executable, which then starts with half the CPU time.
   * Default true; false for a program that has no such command.
   */
  readonly rehearseAgents?: boolean
}

/** What was built. */
export interface BuildResult {
  readonly output: string
  readonly bundleBytes: number
  /** Of the compiled code: for the agent, for other commands. */
  readonly cacheBytes: readonly number[]
  readonly outputBytes: number
  readonly stripped: boolean
}

/**
 * Builds the single executable: esbuild makes one CommonJS file of the program, rehearsals make V8 code caches of what runs,
 * and `node --build-sea` joins these and the native library of classic-level with a copy of the running Node
 * (https://nodejs.org/api/single-executable-applications.html).
 * @throws Error if the running Node is not the one that the project is written for, or if any step fails.
 */
export async function buildExecutable(options: BuildOptions): Promise<BuildResult> {
  assertNodeVersion(process.versions.node)
  const output = resolve(options.output)
  mkdirSync(dirname(output), { recursive: true })
  const work = mkdtempSync(join(dirname(output), '.build-'))
  try {
    const bundle = join(work, 'constellation.cjs')
    await bundleProgram(resolve(options.entry), bundle)
    const caches = await compileAhead(bundle, join(work, 'rehearsal'), options.rehearseAgents !== false)
    const main = join(work, 'start.cjs')
    await bundleStart(main)
    const node = join(work, 'node')
    copyFileSync(process.execPath, node)
    const stripped = options.strip !== false && stripSymbols(node)
    const sealed = join(work, 'constellation')
    seal({ main, bundle, caches, node, output: sealed, config: join(work, 'sea.json') })
    chmodSync(sealed, 0o755)
    renameSync(sealed, output)
    return {
      output,
      bundleBytes: statSync(bundle).size,
      cacheBytes: [caches.agent, caches.command].map((cache) => statSync(cache).size),
      outputBytes: statSync(output).size,
      stripped,
    }
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/** Refuses every Node but the pinned major: the executable is a copy of the Node that runs this. */
export function assertNodeVersion(version: string): void {
  if (Number(version.split('.')[0]) === NODE_MAJOR) return
  throw new Error(
    `the executable embeds the Node that builds it, which must be version ${NODE_MAJOR}, not ${version}: run \`npm run build\``,
  )
}

async function bundleProgram(entry: string, outfile: string): Promise<void> {
  await build({
    entryPoints: [entry],
    outfile,
    bundle: true,
    platform: 'node',
    // CommonJS rather than ESM: half the start-up time, since an ES module loads every built-in it names at once, with all
    // that hangs on it. The price is that the program has neither top-level await nor import.meta; both are build errors.
    format: 'cjs',
    logOverride: { 'empty-import-meta': 'error' },
    target: `node${NODE_MAJOR}`,
    // Names are kept so that a stack trace in a bug report can be read.
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: 'inline',
    logLevel: 'warning',
    plugins: [embedAddon(), leaveOut()],
    banner: { js: '(function (exports, require, module, __filename, __dirname) {' },
    footer: { js: '})' },
  })
  // One byte per character, so that the executable makes a string of it without decoding. What is left is in comments.
  const ascii = readFileSync(outfile, 'utf8').replace(/[^\0-\x7f]/g, escaped)
  writeFileSync(outfile, ascii, 'latin1')
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/** The main file of the executable: it has no loader of modules, so what it imports goes with it. */
async function bundleStart(outfile: string): Promise<void> {
  await build({
    entryPoints: [join(import.meta.dirname, 'program/start.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: `node${NODE_MAJOR}`,
    logLevel: 'warning',
  })
}

interface Caches {
  readonly agent: string
  readonly command: string
}

/**
 * Runs the program for the sake of what V8 compiles meanwhile. Most of the time in which a cold program starts goes into
 * compiling functions when they are first called.
 */
async function compileAhead(program: string, folder: string, agents: boolean): Promise<Caches> {
  const recorder = recorderOf({ program, addon: addonPath() })
  const command = await rehearseCommand(recorder, folder)
  return { command, agent: agents ? await rehearseAgents(recorder, folder) : command }
}

/** Replaces the file search of node-gyp-build by the library that the executable carries. */
function embedAddon(): Plugin {
  const loader = JSON.stringify(join(import.meta.dirname, 'embedded-addon.ts'))
  return {
    name: 'embed-addon',
    setup(context) {
      context.onLoad({ filter: /[\\/]classic-level[\\/]binding\.js$/ }, () => ({
        contents: `module.exports = require(${loader}).loadEmbeddedAddon(${JSON.stringify(ADDON_ASSET)})`,
        resolveDir: import.meta.dirname,
        loader: 'js',
      }))
    },
  }
}

/** Packages that dockerode names for what this program never asks of it: engines behind SSH, and building images. */
const LEFT_OUT = /^(?:ssh2|@grpc\/proto-loader)$/

/** Puts an empty module in place of packages that are not used, the first of them with native libraries of its own. */
function leaveOut(): Plugin {
  return {
    name: 'leave-out',
    setup(context) {
      context.onResolve({ filter: LEFT_OUT }, ({ path }) => ({ path, namespace: 'left-out' }))
      context.onLoad({ filter: /.*/, namespace: 'left-out' }, () => ({ contents: 'module.exports = {}' }))
    },
  }
}

/** The file that classic-level would load here: built or prebuilt for this platform, architecture and libc. */
function addonPath(): string {
  const requireHere = createRequire(import.meta.url)
  const packageFolder = dirname(requireHere.resolve('classic-level/package.json'))
  const find: { path: (folder: string) => string } = createRequire(`${packageFolder}/`)('node-gyp-build')
  return find.path(packageFolder)
}

/** True if the symbols are gone. Only ever done before sealing: `strip` breaks a sealed executable. */
function stripSymbols(node: string): boolean {
  if (process.platform !== 'linux') return false
  try {
    execFileSync('strip', ['--strip-all', node], { stdio: 'ignore' })
    execFileSync(node, ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    copyFileSync(process.execPath, node)
    return false
  }
}

function seal(paths: {
  readonly main: string
  readonly bundle: string
  readonly caches: Caches
  readonly node: string
  readonly output: string
  readonly config: string
}): void {
  const config = {
    main: paths.main,
    mainFormat: 'commonjs',
    executable: paths.node,
    output: paths.output,
    disableExperimentalSEAWarning: true,
    // NODE_OPTIONS stays in force, so that an operator can ask for a heap limit or a heap snapshot.
    execArgvExtension: 'env',
    assets: {
      [ADDON_ASSET]: addonPath(),
      [PROGRAM_ASSET]: paths.bundle,
      [cacheName('agent')]: paths.caches.agent,
      [cacheName('')]: paths.caches.command,
    },
  }
  writeFileSync(paths.config, JSON.stringify(config))
  execFileSync(process.execPath, ['--build-sea', paths.config], { stdio: ['ignore', 'ignore', 'inherit'] })
}

async function main(): Promise<void> {
  const started = performance.now()
  const result = await buildExecutable({
    entry: join(ROOT, 'agent/main.ts'),
    output: join(ROOT, 'dist/constellation'),
  })
  const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  process.stdout.write(
    `${result.output}: ${megabytes(result.outputBytes)} (program ${megabytes(result.bundleBytes)}, Node ${process.versions.node}${
      result.stripped ? ', stripped' : ''
    }, compiled code ${result.cacheBytes.map(megabytes).join(' and ')}), built in ${seconds} s\n`,
  )
}

if (import.meta.main) {
  try {
    await main()
  } catch (error) {
    process.stderr.write(`build failed: ${error instanceof Error ? error.message : String(error)}\n`)
    process.exitCode = 1
  }
}
