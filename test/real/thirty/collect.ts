import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** Preloaded into an agent that is watched for leaks: SIGUSR2 collects garbage, so that the next measure of the heap is of what is kept. */
process.on('SIGUSR2', () => {
  // Not before: V8 takes no code that was compiled ahead with other flags.
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as (options: { type: 'major'; flavor: 'last-resort' }) => void
  // An ordinary collection keeps code and caches that were not used lately, some megabytes for some minutes.
  gc({ type: 'major', flavor: 'last-resort' })
})
