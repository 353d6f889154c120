import type { Timer, Timers } from './timers.ts'

/** A timer that fires later than this was held up: this process, and not what it waits for, was slow. */
const LATE_MS = 50
/** How often an end that came late is put off. Bounds the whole even if every timer of this process is late. */
const EXTENSIONS_MAX = 8

/**
 * Counts `totalMs` down in slices and then calls `fire`. Of a slice that ends late only its own length counts, so time in
 * which this process did not run (a busy event loop, SIGSTOP, a paused machine) costs what is waited for at most one slice.
 * Timers fire before what has arrived meanwhile is read: an end that comes late is therefore put off once more, by as long as
 * it was late and at most a slice, in which an answer that lies in a socket buffer is still found.
 */
export function countdown(timers: Timers, totalMs: number, sliceMs: number, fire: () => void): Timer {
  let leftMs = totalMs
  let extensions = 0
  let timer: Timer | null = null
  const arm = (): void => {
    const slice = Math.min(leftMs, sliceMs)
    const dueAtMs = timers.now() + slice
    timer = timers.after(slice, () => {
      const lateMs = timers.now() - dueAtMs
      leftMs -= slice
      if (leftMs > 0) return arm()
      if (lateMs <= LATE_MS || extensions === EXTENSIONS_MAX) return fire()
      extensions += 1
      leftMs = Math.min(lateMs, sliceMs)
      arm()
    })
  }
  arm()
  return { cancel: () => timer?.cancel() }
}
