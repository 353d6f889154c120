/** Preloaded into an agent that is watched for leaks: SIGUSR2 collects garbage, so that the next measure of the heap is of what is kept. */
process.on('SIGUSR2', () => {
  const { gc } = globalThis as { gc?: () => void }
  gc?.()
  gc?.()
})
