const TICK_MS = 20

let last = performance.now()
let heldUp = 0
setInterval(() => {
  heldUp += overdue()
  last = performance.now()
}, TICK_MS).unref()

/** By how much the tick is late, as far as that is more than a timer may be. */
function overdue(): number {
  const ms = performance.now() - last - TICK_MS
  return ms > TICK_MS ? ms : 0
}

/**
 * For how long in all this process has not run when it should have, in milliseconds: the machine was busy with something else, or
 * stood still itself, as one that shares its processors with others does. The agents of a test did not run then either, so what a
 * test measures of them is compared with a bound after that is taken off. Nearly 0 on a machine that has time.
 */
export function heldUpMs(): number {
  return heldUp + overdue()
}

/** A clock that stands still while this process is held up. Milliseconds. */
export function runsMs(): number {
  return performance.now() - heldUpMs()
}
