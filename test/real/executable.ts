import { readdirSync, statSync, utimesSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { buildExecutable } from '../../scripts/build.ts'
import { tryLock, unlock } from './exclusive.ts'
import { until } from './until.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const SOURCES = [
  'agent',
  'consensus',
  'discovery',
  'providers',
  'package.json',
  'scripts/build.ts',
  'scripts/program',
]
const BUILD_TIMEOUT_MS = 60_000

/**
 * Path of the executable `dist/constellation`, built first if it is missing or older than any of its sources. Several test
 * files may ask at once: one builds, the others wait. `TEST_EXECUTABLE` names another one to test as it is.
 */
export async function executable(): Promise<string> {
  const given = process.env.TEST_EXECUTABLE
  if (given !== undefined && given !== '') return resolve(given)
  const output = join(ROOT, 'dist/constellation')
  if (isCurrent(output)) return output
  const lock = join(ROOT, 'dist/.test-build')
  await mkdir(dirname(lock), { recursive: true })
  // Who waited finds the work done; who takes the lock over from a killed process looks again.
  const locked = await until(
    'the executable is built',
    () => (isCurrent(output) ? 'built' : tryLock(lock) && 'mine'),
    {
      timeoutMs: BUILD_TIMEOUT_MS,
      intervalMs: 100,
    },
  )
  if (locked === 'built') return output
  try {
    // A source saved while it was being bundled is newer than this moment, so that the next test builds again.
    const startedAt = new Date()
    await buildExecutable({ entry: join(ROOT, 'agent/main.ts'), output })
    utimesSync(output, startedAt, startedAt)
    return output
  } finally {
    unlock(lock)
  }
}

function isCurrent(output: string): boolean {
  try {
    const { mtimeMs } = statSync(output)
    return SOURCES.every((source) => newest(join(ROOT, source)) <= mtimeMs)
  } catch {
    return false
  }
}

/** Latest change below a path. A folder counts as well: it changes when a file in it goes away. */
function newest(path: string): number {
  const own = statSync(path)
  if (!own.isDirectory()) return own.mtimeMs
  const below = readdirSync(path).map((name) => newest(join(path, name)))
  return Math.max(own.mtimeMs, ...below)
}
