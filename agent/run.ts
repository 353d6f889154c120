import type { Logger } from 'pino'
import { Agent } from './agent.ts'
import { diffReloadable } from './config/reload.ts'
import type { Config } from './config/types.ts'
import { SystemdNotifier, takeSystemdEnvironment } from './systemd-notify.ts'
import { createLogger } from './telemetry/log.ts'
import { LogFeed } from './telemetry/log-feed.ts'

const STATUS_MS = 10_000

/**
 * Runs one agent until it is told to stop: SIGTERM and SIGINT leave in order, SIGHUP reads the configuration again.
 * Resolves with the exit code of the process: 0 after an orderly stop, 1 when the agent could not start or had to give up.
 */
export async function runAgent(config: Config, options: { reload: () => Config }): Promise<number> {
  const logFeed = new LogFeed()
  const log = createLogger({ level: config.log.level, format: config.log.format, feed: logFeed })
  const notifier = new SystemdNotifier(takeSystemdEnvironment(), { logger: log })
  let current = config
  let exitCode = 0
  let finish = () => {}
  const finished = new Promise<void>((resolve) => {
    finish = resolve
  })
  const reload = async () => {
    await notifier.reloading()
    try {
      current = applyReload(agent, log, current, options.reload())
    } finally {
      await notifier.ready(agent.statusLine())
    }
  }
  const agent = new Agent(config, {
    log,
    logFeed,
    onFatal: () => {
      exitCode = 1
      finish()
    },
    onLeave: finish,
    onReload: reload,
  })
  const onHangup = () => {
    reload().catch((error: Error) => log.error(`the configuration was not reloaded: ${error.message}`))
  }
  const onSignal = (signal: NodeJS.Signals) => {
    log.info({ signal }, 'stopping')
    finish()
  }
  const onBug = (error: unknown) => {
    log.fatal({ err: error }, 'unexpected error; the agent ends, so that a restart finds a sound state')
    exitCode = 1
    finish()
  }
  process.on('uncaughtException', onBug)
  process.on('SIGHUP', onHangup)
  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)
  let statusTimer: NodeJS.Timeout | undefined
  try {
    await agent.start()
    await notifier.ready(agent.statusLine())
    notifier.startWatchdog(() => agent.readiness?.alive() ?? false)
    statusTimer = setInterval(() => void notifier.status(agent.statusLine()), STATUS_MS)
    await finished
  } catch (error) {
    exitCode = 1
    log.fatal((error as Error).message)
    log.debug({ err: error }, 'where the start failed')
  }
  clearInterval(statusTimer)
  await notifier.stopping()
  await agent.stop()
  await notifier.stop()
  process
    .off('uncaughtException', onBug)
    .off('SIGHUP', onHangup)
    .off('SIGTERM', onSignal)
    .off('SIGINT', onSignal)
  return exitCode
}

/** Applies what can change without a restart and says what cannot. Answers the configuration now in force. */
function applyReload(agent: Agent, log: Logger, old: Config, next: Config): Config {
  const { changed, needsRestart } = diffReloadable(old, next)
  agent.reload(next)
  if (needsRestart.length > 0)
    log.warn({ settings: needsRestart }, 'these settings change only with a restart')
  log.info(
    { changed },
    changed.length === 0 ? 'nothing in the configuration changed' : 'configuration reloaded',
  )
  const { traefik } = old.providers
  return {
    ...old,
    node: { ...old.node, priority: next.node.priority },
    log: { ...old.log, level: next.log.level },
    providers: { ...old.providers, traefik: traefik === null ? null : (next.providers.traefik ?? traefik) },
  }
}
