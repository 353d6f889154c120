import { execFile } from 'node:child_process'
import type { Logger } from 'pino'

/** What systemd said about notifications in the environment of the process. */
export interface SystemdEnvironment {
  /** Value of NOTIFY_SOCKET: a path, or `@name` in the abstract namespace. Null = not run by systemd, or not Type=notify. */
  readonly socket: string | null
  /** The watchdog's limit in microseconds; null = no watchdog for this process. */
  readonly watchdogUsec: number | null
}

/** What the notifier needs from outside; `send`, `monotonicUsec` and the timers have real defaults. */
export interface SystemdCollaborators {
  readonly logger: Logger
  /** Sends one datagram of KEY=VALUE lines to the socket, and waits until systemd has read it. */
  readonly send?: (socket: string, lines: readonly string[]) => Promise<void>
  /** CLOCK_MONOTONIC in microseconds. */
  readonly monotonicUsec?: () => bigint
  /** Calls back every `intervalMs`. Returns the way to stop. */
  readonly every?: (intervalMs: number, callback: () => void) => () => void
}

interface Message {
  readonly kind: 'state' | 'status' | 'watchdog'
  readonly lines: readonly string[]
  readonly settle: () => void
}

const SEND_TIMEOUT_MS = 5_000
const QUEUE_MAX = 32
const VARIABLES = ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID'] as const

/**
 * Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID (sd_notify(3), sd_watchdog_enabled(3)) and removes them from `env`,
 * so that no child process speaks to systemd in this one's name. A watchdog meant for another process is ignored.
 */
export function takeSystemdEnvironment(
  env: NodeJS.ProcessEnv = process.env,
  pid: number = process.pid,
): SystemdEnvironment {
  const [socket, usec, watchdogPid] = VARIABLES.map((name) => env[name])
  for (const name of VARIABLES) delete env[name]
  const usable = socket !== undefined && /^[/@]./.test(socket)
  const watchdogUsec = Number(usec)
  const watched = Number.isSafeInteger(watchdogUsec) && watchdogUsec > 0
  const ours = watchdogPid === undefined || watchdogPid === String(pid)
  return { socket: usable ? socket : null, watchdogUsec: usable && watched && ours ? watchdogUsec : null }
}

/**
 * Tells systemd how the service is (sd_notify(3)). Node has no unix datagram sockets, so each message goes through the
 * program systemd-notify; without privileges it cannot speak as its parent, hence NotifyAccess=all in the unit.
 *
 * Messages leave one after the other in the order of the calls. A status or a watchdog ping that has not left yet is
 * replaced by a newer one. Nothing here ever throws or rejects: a missing or failing systemd-notify is logged once.
 * The promises resolve when the message was sent or given up.
 */
export class SystemdNotifier {
  readonly #socket: string | null
  readonly #watchdogUsec: number | null
  readonly #logger: Logger
  readonly #send: NonNullable<SystemdCollaborators['send']>
  readonly #monotonicUsec: NonNullable<SystemdCollaborators['monotonicUsec']>
  readonly #every: NonNullable<SystemdCollaborators['every']>
  readonly #queue: Message[] = []
  #draining: Promise<void> | null = null
  #stopWatchdog: (() => void) | null = null
  #failureLogged = false
  #wasAlive = true
  #stopped = false

  constructor(environment: SystemdEnvironment, collaborators: SystemdCollaborators) {
    this.#socket = environment.socket
    this.#watchdogUsec = environment.watchdogUsec
    this.#logger = collaborators.logger
    this.#send = collaborators.send ?? runSystemdNotify
    this.#monotonicUsec = collaborators.monotonicUsec ?? (() => process.hrtime.bigint() / 1_000n)
    this.#every = collaborators.every ?? everyUnref
  }

  /** The service is up, or a reload is over. Systemd starts the units ordered after this one. */
  ready(status: string): Promise<void> {
    return this.#enqueue('state', ['READY=1', statusLine(status)])
  }

  /** A reload begins; `ready` must follow. Carries the time that Type=notify-reload asks for. */
  reloading(): Promise<void> {
    return this.#enqueue('state', ['RELOADING=1', `MONOTONIC_USEC=${this.#monotonicUsec()}`])
  }

  /** An orderly shutdown begins. Ends the watchdog, which must not interrupt it. */
  stopping(): Promise<void> {
    this.#endWatchdog()
    return this.#enqueue('state', ['STOPPING=1', statusLine('stopping')])
  }

  /** The line that `systemctl status` shows. */
  status(text: string): Promise<void> {
    return this.#enqueue('status', [statusLine(text)])
  }

  /**
   * Pings the watchdog three times per limit for as long as `alive` answers true. `alive` is to look at what the main
   * loops did lately: a timer that fires on its own proves nothing. Once it answers false, or throws, systemd restarts
   * the service after the limit. Does nothing if the unit has no WatchdogSec.
   */
  startWatchdog(alive: () => boolean): void {
    if (this.#socket === null || this.#watchdogUsec === null || this.#stopped || this.#stopWatchdog) return
    const ping = (): void => {
      const isAlive = this.#isAlive(alive)
      if (isAlive !== this.#wasAlive) this.#logLiveness(isAlive)
      this.#wasAlive = isAlive
      if (isAlive) void this.#enqueue('watchdog', ['WATCHDOG=1'])
    }
    const intervalMs = Math.max(1, Math.floor(this.#watchdogUsec / 3_000))
    this.#stopWatchdog = this.#every(intervalMs, ping)
    ping()
  }

  /** Ends the watchdog and waits for the messages on their way, up to the first that fails. Later calls do nothing. */
  async stop(): Promise<void> {
    this.#endWatchdog()
    this.#stopped = true
    await this.#draining
  }

  #endWatchdog(): void {
    this.#stopWatchdog?.()
    this.#stopWatchdog = null
  }

  #enqueue(kind: Message['kind'], lines: readonly string[]): Promise<void> {
    if (this.#socket === null || this.#stopped) return Promise.resolve()
    const socket = this.#socket
    const { promise, resolve } = Promise.withResolvers<void>()
    if (kind !== 'state') this.#drop(this.#queue.findIndex((message) => message.kind === kind))
    if (this.#queue.length >= QUEUE_MAX) this.#drop(0)
    this.#queue.push({ kind, lines, settle: resolve })
    this.#draining ??= this.#drain(socket)
    return promise
  }

  #drop(index: number): void {
    if (index < 0) return
    for (const message of this.#queue.splice(index, 1)) message.settle()
  }

  async #drain(socket: string): Promise<void> {
    for (let message = this.#queue.shift(); message; message = this.#queue.shift()) {
      try {
        await this.#send(socket, message.lines)
      } catch (error) {
        this.#logFailure(error)
        // A shutdown does not wait for the time limit of every message in the queue.
        while (this.#stopped && this.#queue.length > 0) this.#drop(0)
      }
      message.settle()
    }
    this.#draining = null
  }

  #isAlive(alive: () => boolean): boolean {
    try {
      return alive()
    } catch (error) {
      this.#logger.error({ err: error }, 'the liveness check of the systemd watchdog failed')
      return false
    }
  }

  #logLiveness(alive: boolean): void {
    const limitMs = (this.#watchdogUsec ?? 0) / 1_000
    if (alive) this.#logger.info('systemd watchdog: alive again')
    else
      this.#logger.error({ limitMs }, 'systemd watchdog: not alive, no more pings; systemd will restart this')
  }

  #logFailure(error: unknown): void {
    if (this.#failureLogged) return
    this.#failureLogged = true
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
    const text = missing
      ? 'systemd-notify is not installed: systemd cannot be told about readiness, reloads and liveness'
      : 'systemd-notify failed; later failures are not logged'
    this.#logger.warn({ err: error }, text)
  }
}

/** A datagram is made of lines, so a status is one line. */
function statusLine(text: string): string {
  return `STATUS=${text.replace(/\s+/g, ' ').trim()}`
}

function everyUnref(intervalMs: number, callback: () => void): () => void {
  const timer = setInterval(callback, intervalMs)
  timer.unref()
  return () => clearInterval(timer)
}

/**
 * Raw KEY=VALUE arguments rather than options: `--stopping` and `--reloading` came with systemd 253. The program ends
 * once systemd has read the message, so the sender is still there when systemd looks up who it was.
 */
function runSystemdNotify(socket: string, lines: readonly string[]): Promise<void> {
  const env = { PATH: process.env.PATH ?? '/usr/local/bin:/usr/bin:/bin', NOTIFY_SOCKET: socket }
  return new Promise((resolve, reject) => {
    const options = { env, timeout: SEND_TIMEOUT_MS, killSignal: 'SIGKILL' } as const
    execFile('systemd-notify', lines, options, (error) => (error ? reject(error) : resolve()))
  })
}
