import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** A lock whose owner has not written its name this long after making it was killed in between. Milliseconds. */
const NAMELESS_MS_MAX = 5000

/**
 * Takes a lock between processes: making a folder succeeds for one of them only. A lock whose owner no longer runs is
 * taken over. False if somebody else holds it.
 */
export function tryLock(folder: string): boolean {
  try {
    mkdirSync(folder)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    if (ownerLives(folder)) return false
    rmSync(folder, { recursive: true, force: true })
    return false
  }
  writeFileSync(join(folder, 'pid'), String(process.pid))
  return true
}

/** Gives a lock back. */
export function unlock(folder: string): void {
  rmSync(folder, { recursive: true, force: true })
}

function ownerLives(folder: string): boolean {
  try {
    const pid = Number(readFileSync(join(folder, 'pid'), 'utf8'))
    if (pid > 0) return isRunning(pid)
    return Date.now() - statSync(folder).mtimeMs < NAMELESS_MS_MAX
  } catch {
    // No name yet, or the lock has just been given back: look again later.
    return isYoung(folder)
  }
}

function isYoung(folder: string): boolean {
  try {
    return Date.now() - statSync(folder).mtimeMs < NAMELESS_MS_MAX
  } catch {
    return false
  }
}

/** True if a process with this id exists, a zombie included. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
