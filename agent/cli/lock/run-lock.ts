import { setTimeout as delay } from 'node:timers/promises'
import { formatGoDuration } from '../../../discovery/health/duration.ts'
import type { ApiClient } from '../api-client.ts'
import { CliError } from '../errors.ts'
import type { CliIo } from '../io.ts'
import type { Clock } from './clock.ts'
import { GroupGuard } from './group-guard.ts'
import { HeldCommand, signalExitCode } from './held-command.ts'
import { LockApi, type LockEntry } from './lock-api.ts'
import { SessionKeeper } from './session-keeper.ts'
import { SignalRelay } from './signals.ts'
import { type Acquired, waitForLock } from './wait-for-lock.ts'

const SESSION_RETRY_MS = 1000
const WATCH_RETRY_MS = 1000
/** How long giving the lock back may take in all. */
const RELEASE_MS_MAX = 5000
/** Of a lock that is lost nothing is left to give back but the session, and the agent may be the reason. */
const DESTROY_LOST_MS_MAX = 1000

/** What the operator asked for. Times in milliseconds. */
export interface LockOptions {
  readonly name: string
  /** Program and arguments. */
  readonly command: readonly string[]
  readonly ttlMs: number
  readonly lockDelayMs: number
  readonly killAfterMs: number
  /** How long to wait for the lock; null = for ever. */
  readonly timeoutMs: number | null
  /** Do not wait at all. */
  readonly tryOnce: boolean
  readonly verbose: boolean
}

/** What a lock works with. */
export interface LockCollaborators {
  readonly api: ApiClient
  readonly io: CliIo
  readonly clock: Clock
}

/** The key of the lock of this name; the one that `consul lock NAME` takes. */
export function lockKey(name: string): string {
  return `${name}/.lock`
}

/**
 * Takes the lock, runs the command while it holds it, gives it back, and answers the exit code of the command.
 * @throws CliError `CLI_BUSY` when the lock was not to be had in time, `CLI_FAILED` when it was lost or nothing works.
 */
export async function runLock(options: LockOptions, collaborators: LockCollaborators): Promise<number> {
  return new LockRun(options, collaborators).run()
}

class LockRun {
  readonly #options: LockOptions
  readonly #io: CliIo
  readonly #clock: Clock
  readonly #api: LockApi
  readonly #key: string
  /** Aborted to end the wait, with a signal or 'timeout' as the reason. */
  readonly #stop = new AbortController()
  #command: HeldCommand | null = null

  constructor(options: LockOptions, { api, io, clock }: LockCollaborators) {
    this.#options = options
    this.#io = io
    this.#clock = clock
    this.#key = lockKey(options.name)
    this.#api = new LockApi(api, this.#key)
  }

  async run(): Promise<number> {
    const { timeoutMs } = this.#options
    const relay = new SignalRelay((signal) => {
      if (this.#command === null) this.#stop.abort(signal)
      else this.#command.signal(signal)
    })
    const cancelTimeout =
      timeoutMs === null ? () => {} : this.#clock.after(timeoutMs, () => this.#stop.abort('timeout'))
    try {
      for (let isFirst = true; ; isFirst = false) {
        const exitCode = await this.#attempt(isFirst, cancelTimeout)
        if (exitCode !== null) return exitCode
        this.#note('the session ended while waiting; taking a new one')
      }
    } catch (error) {
      if (!(error instanceof CliError) || error.code !== 'CLI_ABORTED') throw error
      const { reason } = this.#stop.signal
      if (reason === 'timeout') throw this.#busy(`gave up after ${formatGoDuration(timeoutMs ?? 0)}`)
      return signalExitCode(reason as NodeJS.Signals)
    } finally {
      cancelTimeout()
      relay.close()
    }
  }

  /** One session: null if it ended before it had the lock. */
  async #attempt(isFirst: boolean, onAcquired: () => void): Promise<number | null> {
    const lost = new AbortController()
    const { session, keeper } = await this.#openSession(isFirst, () => lost.abort())
    let acquired: Acquired | null = null
    try {
      acquired = await this.#wait(session, AbortSignal.any([this.#stop.signal, lost.signal]))
      if (acquired === null) throw this.#busy('somebody else holds it')
      if (this.#stop.signal.aborted) throw new CliError('CLI_ABORTED', 'stopped')
      if (keeper.lost !== null) return null
      onAcquired()
      return await this.#hold(session, keeper, acquired, lost.signal)
    } catch (error) {
      if (this.#command !== null || this.#stop.signal.aborted) throw error
      if (keeper.lost !== null || (error instanceof CliError && error.code === 'CLI_SESSION_GONE'))
        return null
      throw error
    } finally {
      keeper.stop()
      await this.#close(session, acquired !== null, keeper.lost !== null)
    }
  }

  async #openSession(
    isFirst: boolean,
    onLost: () => void,
  ): Promise<{ readonly session: string; readonly keeper: SessionKeeper }> {
    const { ttlMs, lockDelayMs, name } = this.#options
    const definition = {
      Name: `constellation lock ${name}`,
      TTL: formatGoDuration(ttlMs),
      LockDelay: formatGoDuration(lockDelayMs),
      Behavior: 'release',
      // Only time ends it: a check could end it while the command still counts on the TTL.
      Checks: [],
      NodeChecks: [],
    }
    for (;;) {
      const sentAt = this.#clock.now()
      try {
        const session = await this.#api.createSession(definition, this.#stop.signal)
        return { session, keeper: this.#keep(session, sentAt, onLost) }
      } catch (error) {
        const retry = error instanceof CliError && error.code !== 'CLI_ABORTED' && !isFirst
        if (!retry) throw error
      }
      await pause(SESSION_RETRY_MS, this.#stop.signal)
    }
  }

  #keep(session: string, sentAt: number, onLost: () => void): SessionKeeper {
    const { ttlMs } = this.#options
    return new SessionKeeper(
      {
        ttlMs,
        noticeMs: noticeMs(this.#options),
        clock: this.#clock,
        renew: (timeoutMs) => this.#api.renewSession(session, timeoutMs),
        onLost,
      },
      sentAt,
    )
  }

  #wait(session: string, signal: AbortSignal): Promise<Acquired | null> {
    return waitForLock({
      api: this.#api,
      key: this.#key,
      session,
      tryOnce: this.#options.tryOnce,
      signal,
      pause,
      now: () => this.#clock.now(),
      note: (line) => this.#note(line),
    })
  }

  /** Runs the command while the session has the key. @throws CliError `CLI_FAILED` when the lock was lost meanwhile. */
  async #hold(
    session: string,
    keeper: SessionKeeper,
    { entry, index }: Acquired,
    lost: AbortSignal,
  ): Promise<number> {
    const { command, killAfterMs } = this.#options
    this.#note(`holding ${this.#key}, fencing token ${entry.modifyIndex}`)
    const guard = new GroupGuard(noticeMs(this.#options))
    const running = new HeldCommand(
      command,
      { ...this.#io.env, ...this.#variables(session, entry) },
      this.#clock,
    )
    this.#command = running
    if (running.group !== null) guard.watch(running.group)
    const over = new AbortController()
    void this.#watchHold(session, keeper, index, over.signal)
    const stopped = Promise.withResolvers<void>()
    lost.addEventListener('abort', () => {
      // At the deadline somebody else may have the lock, however long the command would like to take.
      const latest = keeper.deadline - marginMs(this.#options)
      const killAt = Math.min(this.#clock.now() + killAfterMs, latest)
      running.terminate(killAt).then(stopped.resolve, stopped.reject)
    })
    const end = await running.ended
    over.abort()
    if (keeper.lost !== null) await stopped.promise
    guard.close()
    if (keeper.lost !== null) {
      const { name } = this.#options
      throw new CliError(
        'CLI_FAILED',
        `the lock ${name} was lost, so the command was stopped: ${keeper.lost}`,
      )
    }
    if (end.failure !== null) this.#io.stderr.write(`constellation: ${end.failure}\n`)
    return end.exitCode
  }

  #variables(session: string, entry: LockEntry): Readonly<Record<string, string>> {
    return {
      CONSTELLATION_LOCK_KEY: this.#key,
      CONSTELLATION_LOCK_SESSION: session,
      CONSTELLATION_LOCK_INDEX: String(entry.lockIndex),
      CONSTELLATION_FENCING_TOKEN: String(entry.modifyIndex),
    }
  }

  /** Sees when the key is somebody else's. What it does not see in time the keeper's deadline covers. */
  async #watchHold(
    session: string,
    keeper: SessionKeeper,
    since: number,
    signal: AbortSignal,
  ): Promise<void> {
    let index = since
    while (!signal.aborted) {
      try {
        const reading = await this.#api.read({ index, signal })
        const holder = reading.entry?.session ?? null
        if (holder !== session) {
          keeper.lose(
            holder === null ? 'the key was released or deleted' : `the key is held by session ${holder}`,
          )
          return
        }
        if (reading.index === index) await pause(WATCH_RETRY_MS, signal)
        index = reading.index
      } catch {
        if (!signal.aborted) await pause(WATCH_RETRY_MS, signal).catch(() => {})
      }
    }
  }

  /** Gives back what there is to give back. Nothing of it can fail the command: the session ends by itself. */
  async #close(session: string, acquired: boolean, lost: boolean): Promise<void> {
    const signal = AbortSignal.timeout(lost ? DESTROY_LOST_MS_MAX : RELEASE_MS_MAX)
    try {
      if (acquired && !lost) await this.#release(session, signal)
      await this.#api.destroySession(session, signal)
    } catch (error) {
      if (lost || !acquired) return
      this.#io.stderr.write(
        `constellation: giving ${this.#key} back failed (${(error as Error).message}); it is free when its session has ended\n`,
      )
    }
  }

  async #release(session: string, signal: AbortSignal): Promise<void> {
    if (!(await this.#api.release(session, signal))) return
    this.#note(`released ${this.#key}`)
    const { entry } = await this.#api.read({ index: 0, signal })
    // Whoever waits and was quicker has changed it since.
    if (entry !== null && entry.session === null) await this.#api.deleteIfUnchanged(entry.modifyIndex, signal)
  }

  #busy(why: string): CliError {
    return new CliError('CLI_BUSY', `the lock ${this.#options.name} is taken: ${why}`)
  }

  #note(line: string): void {
    if (this.#options.verbose) this.#io.stderr.write(`constellation: ${line}\n`)
  }
}

/** How long before the session may end the command is told to stop: what it may take for that, if the TTL has room for it. */
function noticeMs(options: LockOptions): number {
  return Math.min(options.killAfterMs, options.ttlMs / 3) + marginMs(options)
}

/** A timer may be late, and a process takes a moment to die: it is killed this long before the session may end. */
function marginMs({ ttlMs }: LockOptions): number {
  return Math.min(500, ttlMs / 20)
}

/** @throws CliError `CLI_ABORTED` when the signal is aborted. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, { signal })
  } catch (cause) {
    throw new CliError('CLI_ABORTED', 'stopped', { cause })
  }
}
