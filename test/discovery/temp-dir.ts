import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'

/**
 * A directory that is removed after every later teardown of the test has run. `t.testdir` is removed before them, under
 * the hands of what still writes there.
 */
export function tempDir(t: Test, place = tmpdir()): string {
  const path = mkdtempSync(join(place, 'constellation-test-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 }))
  return path
}
