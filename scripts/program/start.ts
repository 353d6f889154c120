import { getRawAsset } from 'node:sea'
import { Script } from 'node:vm'
import { cacheName, PROGRAM_ASSET, SCRIPT_OPTIONS } from './assets.ts'

/**
 * What the executable runs first: it takes the program and what V8 compiled of it in a rehearsal out of the executable and
 * runs it. A cache that this V8 does not take, for it runs with other flags, costs time and nothing else.
 */
const source = Buffer.from(getRawAsset(PROGRAM_ASSET)).toString('latin1')
const cachedData = Buffer.from(getRawAsset(cacheName(process.argv[2])))
const script = new Script(source, { ...SCRIPT_OPTIONS, cachedData })
script.runInThisContext()(exports, require, module, __filename, __dirname)
