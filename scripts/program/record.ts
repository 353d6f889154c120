import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { Script } from 'node:vm'
import { SCRIPT_OPTIONS } from './assets.ts'

/** What the recorder is told through its environment, all paths. */
export interface RecorderEnvironment {
  /** The bundled program. */
  readonly RECORD_PROGRAM: string
  /** Where the compiled code goes when the program ends. */
  readonly RECORD_CACHE: string
  /** The native library of classic-level. */
  readonly RECORD_ADDON: string
}

/**
 * Runs the program as the executable would and writes what V8 has compiled of it by its end: also the functions that are
 * compiled when they are first called, which no cache has that is made before the program ran.
 */
function record({ RECORD_PROGRAM, RECORD_CACHE, RECORD_ADDON }: RecorderEnvironment): void {
  const script = new Script(readFileSync(RECORD_PROGRAM, 'latin1'), SCRIPT_OPTIONS)
  const builtin = createRequire(import.meta.url)
  const embedded = { getRawAsset: () => new Uint8Array(readFileSync(RECORD_ADDON)).buffer }
  const load = (name: string): unknown => (name === 'node:sea' ? embedded : builtin(name))
  process.on('exit', () => writeFileSync(RECORD_CACHE, script.createCachedData()))
  const module = { exports: {} }
  script.runInThisContext()(module.exports, load, module, import.meta.filename, import.meta.dirname)
}

record(process.env as unknown as RecorderEnvironment)
