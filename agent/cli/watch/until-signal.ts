const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Runs something that ends when `stop` is aborted, which these signals do: SIGINT, SIGTERM, SIGHUP. */
export async function untilSignal(run: (stop: AbortController) => Promise<void>): Promise<void> {
  const stop = new AbortController()
  const onSignal = (): void => stop.abort()
  for (const signal of SIGNALS) process.on(signal, onSignal)
  try {
    await run(stop)
  } finally {
    for (const signal of SIGNALS) process.off(signal, onSignal)
  }
}
