import type { ComponentLogger, Logger as Libp2pLogger } from '@libp2p/interface'
import type { Logger } from 'pino'

/**
 * Gives libp2p a logger that costs nothing: its traces vanish, its errors become debug lines. Everything an operator
 * needs to know the mesh says itself, in its own words.
 */
export function quietLogger(log: Logger): ComponentLogger {
  return { forComponent: (name) => scope(log, name) }
}

function scope(log: Logger, name: string): Libp2pLogger {
  const error = (formatter: unknown, ...args: unknown[]) => {
    if (log.isLevelEnabled('debug')) log.debug({ component: name }, render(formatter, args))
  }
  return Object.assign(() => {}, {
    error,
    trace: () => {},
    enabled: false,
    newScope: (child: string) => scope(log, `${name}:${child}`),
  })
}

function render(formatter: unknown, args: unknown[]): string {
  let next = 0
  return textOf(formatter).replaceAll(/%[a-zA-Z]/g, () => textOf(args[next++]))
}

function textOf(value: unknown): string {
  return value instanceof Error ? value.message : String(value)
}
