import { spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A file system of a few megabytes, which can really be full. Needs the right to mount. */
export interface SmallDisk {
  readonly path: string
  /** Takes every byte that is left. */
  fill(): void
  /** Gives back what `fill` took. */
  free(): void
  /** Makes it read-only, or writable again. */
  setWritable(writable: boolean): void
  remove(): void
}

function run(command: string, args: readonly string[]): string | null {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' })
  return status === 0 ? null : (error?.message ?? stderr.trim())
}

/** Mounts a disk of `megabytes`. Answers why not, if that is not allowed here. */
export function mountSmallDisk(megabytes: number): SmallDisk | string {
  const path = mkdtempSync(join(tmpdir(), 'small-disk-'))
  const ballast = join(path, 'ballast')
  const failure = run('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'none', path])
  if (failure !== null) {
    rmSync(path, { recursive: true })
    return `no small disk: ${failure}`
  }
  return {
    path,
    fill: () => {
      const file = openSync(ballast, 'a')
      const block = Buffer.alloc(4096)
      try {
        for (;;) writeSync(file, block)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
      } finally {
        closeSync(file)
      }
    },
    free: () => rmSync(ballast, { force: true }),
    setWritable: (writable) => {
      const problem = run('mount', ['-o', `remount,${writable ? 'rw' : 'ro'}`, path])
      if (problem !== null) throw new Error(problem)
    },
    remove: () => {
      const problem = run('umount', ['-l', path])
      if (problem !== null) throw new Error(problem)
      rmSync(path, { recursive: true })
    },
  }
}
