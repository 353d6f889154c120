import { setTimeout as delay } from 'node:timers/promises'
import type { Operation } from '../linearizability/history.ts'
import { checkFencing, type FencedWrite } from '../linearizability/lock-check.ts'
import {
  checkHolders,
  checkHolds,
  checkNotEarly,
  checkNotLate,
  checkSightings,
  type Hold,
  holdsUntil,
  type LockSighting,
  type SessionSighting,
} from '../linearizability/session-check.ts'
import type { Random } from '../sim/random.ts'
import { perform } from './kv-client.ts'
import type { Leadership } from './leadership.ts'
import type { Place } from './nodes.ts'
import { SessionClient, type Timed } from './session-client.ts'

/** How the agents are set up: the shortest TTL there is, so that sessions expire within a round. */
export const LOCK_SETTINGS = { CONSTELLATION_SESSIONS_TTL_MIN: '1s' }

const TTL_MS = 1000
/** `sessions.ttl_factor` of the agents. */
const TTL_FACTOR = 2
const LOCKS = 2
const CLIENTS = 4
const DELAYS_MS = [0, 700]
const RETRY_MS = 80
const RENEW_MS = TTL_MS / 3
const WRITE_MS = 120
const HOLD_MS_MAX = 700
const LOOK_MS = 150
/** How often a client that waits for a lock looks who has it. */
const LOOK_CHANCE = 0.3
/** The cluster answers again long before this, or the round has failed. */
const DESTROY_MS = 20_000
/** What a leader, and a busy machine, may take on top of the time of a session. */
const LATE_SLACK_MS = 2500

/** A session and what its client knows of it. */
interface Living {
  readonly id: string
  readonly lockDelayMs: number
  renewal: { calledAt: number; returnedAt: number }
}

/** Adds the numbers of a round to those of a run. */
export function addCounts(sum: LockCounts, round: LockCounts): void {
  for (const name of Object.keys(sum) as (keyof LockCounts)[]) sum[name] += round[name]
}

/** No numbers yet. */
export function noCounts(): LockCounts {
  return {
    acquired: 0,
    released: 0,
    destroyed: 0,
    abandoned: 0,
    expired: 0,
    judged: 0,
    writes: 0,
    refused: 0,
  }
}

/** Numbers of a run, for people and for the test that something happened at all. */
export interface LockCounts {
  acquired: number
  released: number
  destroyed: number
  /** Left to expire by clients that went silent, and those of them that were seen to be gone. */
  abandoned: number
  expired: number
  /** Looks at sessions that could be judged for being late: one leader led all the time. */
  judged: number
  /** Writes under the check of the session that were taken, and that were refused as the lock was lost. */
  writes: number
  refused: number
}

/**
 * Clients that lock two keys with sessions over /v1, through whatever node: they create a session, acquire, renew, write under the
 * check of their session, and then release, destroy the session, or go silent until it has expired.
 */
export class LockWorkload {
  readonly counts = noCounts()
  readonly #round: string
  readonly #random: Random
  readonly #client: SessionClient
  readonly #leadership: Leadership
  readonly #record: (operation: Operation) => void
  readonly #stop = new AbortController()
  #clients: Promise<void>[] = []
  readonly #holds: Hold[] = []
  readonly #locks: LockSighting[] = []
  readonly #sessions: SessionSighting[] = []
  readonly #fenced: FencedWrite[] = []
  readonly #late: string[] = []
  #values = 0

  /** `record` gets every call on a lock, and the ends of sessions, as operations on its key. */
  constructor(
    places: readonly Place[],
    random: Random,
    round: string,
    collaborators: { readonly leadership: Leadership; readonly record: (operation: Operation) => void },
  ) {
    this.#round = round
    this.#random = random
    this.#client = new SessionClient(places, random)
    this.#leadership = collaborators.leadership
    this.#record = collaborators.record
  }

  start(): void {
    this.#clients = Array.from({ length: CLIENTS }, (_, i) => this.#run(`lock.${i}`))
  }

  /** Resolves when every client has ended its session. */
  async stop(): Promise<void> {
    this.#stop.abort()
    await Promise.all(this.#clients)
  }

  /** Contradictions in what was seen. */
  check(): string[] {
    const { wrong, judged } = checkNotLate(this.#sessions, {
      factor: TTL_FACTOR,
      slackMs: LATE_SLACK_MS,
      isSteady: (from, to) => this.#leadership.isSteady(from, to),
    })
    this.counts.judged = judged
    return [
      ...checkHolds(this.#holds),
      ...checkSightings(this.#locks),
      ...checkHolders(this.#holds, this.#locks),
      ...checkNotEarly(this.#sessions),
      ...wrong,
      ...checkFencing(this.#fenced),
      ...this.#late,
    ]
  }

  async #run(client: string): Promise<void> {
    for (let life = 0; !this.#stop.signal.aborted; life++) {
      const session = await this.#create(client)
      if (session === null) await this.#pause(RETRY_MS * 3)
      else await this.#live(`${client}.${life}`, session)
    }
  }

  async #create(client: string): Promise<Living | null> {
    const lockDelayMs = this.#random.pick(DELAYS_MS)
    const body = { Name: client, TTL: `${TTL_MS}ms`, LockDelay: `${lockDelayMs}ms`, NodeChecks: [] }
    const { answer, ...renewal } = await this.#client.put('/v1/session/create', body)
    // One whose answer was lost expires, and holds nothing.
    if (answer?.status !== 200) return null
    const { ID } = answer.json() as { readonly ID: string }
    return { id: ID, lockDelayMs, renewal }
  }

  async #live(client: string, session: Living): Promise<void> {
    const lock = `${this.#round}/lock-${this.#random.below(LOCKS)}`
    const hold = await this.#acquire(client, session, lock)
    if (hold === null) {
      await this.#destroy(session, lock, null)
      return
    }
    this.counts.acquired++
    await this.#hold(hold, session)
    const drawn = this.#stop.signal.aborted ? 1 : this.#random.next()
    if (drawn < 0.35 && (await this.#abandon(hold, session))) return
    if (drawn >= 0.35 && drawn < 0.7 && (await this.#release(hold))) this.counts.released++
    // Also a session that released its lock ends: none is left behind.
    await this.#destroy(session, lock, hold)
  }

  /** Tries until it has the lock. Null: the round is over, or the session is gone. */
  async #acquire(client: string, session: Living, lock: string): Promise<Hold | null> {
    while (!this.#stop.signal.aborted) {
      const tried = await this.#perform(client, lock, {
        f: 'acquire',
        value: this.#value(client),
        session: session.id,
        mayBeDelayed: true,
      })
      const isTaken = tried.output?.kind === 'done' && tried.output.ok
      // Of one whose outcome is unknown a read tells, sooner or later.
      if (isTaken || tried.outcome === 'unknown') {
        const seen = await this.#look(client, lock)
        if (seen?.session === session.id) {
          const hold: Hold = {
            lock,
            session: session.id,
            client,
            token: seen.token,
            ttlMs: TTL_MS,
            lockDelayMs: session.lockDelayMs,
            acquire: { calledAt: tried.calledAt, returnedAt: isTaken ? tried.returnedAt : seen.returnedAt },
            renewal: session.renewal,
            end: null,
          }
          this.#holds.push(hold)
          return hold
        }
        if (isTaken) return null
      }
      if (!(await this.#renew(session))) return null
      if (this.#random.chance(LOOK_CHANCE)) await this.#look(client, lock)
      await this.#pause(this.#random.between(RETRY_MS / 2, RETRY_MS * 2))
    }
    return null
  }

  /** Acts as the holder as long as it may: it writes, and it renews. */
  async #hold(hold: Hold, session: Living): Promise<void> {
    const until = performance.now() + this.#random.between(0, HOLD_MS_MAX)
    for (;;) {
      const now = performance.now()
      if (now > until || now > holdsUntil(hold) || this.#stop.signal.aborted) return
      if (now > hold.renewal.calledAt + RENEW_MS && !(await this.#renew(session, hold))) return
      await this.#write(hold)
      await this.#pause(WRITE_MS)
    }
  }

  /** False: there is no such session any more. */
  async #renew(session: Living, hold?: Hold): Promise<boolean> {
    const { answer, ...call } = await this.#client.put(`/v1/session/renew/${session.id}`)
    if (answer?.status !== 200 && answer?.status !== 404) return true
    this.#saw(session, { ...call, answer }, answer.status === 200)
    if (answer.status === 404) return false
    session.renewal = call
    if (hold !== undefined) hold.renewal = call
    return true
  }

  /** Writes under the condition that the session still has the lock. True: that was so. */
  async #write({ lock, session, token, client }: Hold): Promise<boolean> {
    const fenced = lock.replace('lock', 'fenced')
    const value = Buffer.from(`${token} of ${client}`).toString('base64')
    const { answer } = await this.#client.put('/v1/txn', [
      { KV: { Verb: 'check-session', Key: lock, Session: session } },
      { KV: { Verb: 'set', Key: fenced, Value: `${value}` } },
    ])
    if (answer?.status === 409) this.counts.refused++
    if (answer?.status !== 200) return false
    this.counts.writes++
    const { Results } = answer.json() as { Results: readonly { KV: { Key: string; ModifyIndex: number } }[] }
    const version = Results.find(({ KV }) => KV.Key === fenced)?.KV.ModifyIndex
    if (version !== undefined) this.#fenced.push({ lock, token, version })
    return true
  }

  async #release(hold: Hold): Promise<boolean> {
    hold.end = { how: 'release', calledAt: performance.now() }
    const { lock, session, client } = hold
    const { output } = await this.#perform(client, lock, {
      f: 'release',
      value: this.#value(client),
      session,
    })
    return output?.kind === 'done' && output.ok
  }

  /**
   * Goes silent, and looks from outside when the session is gone; then it tries to write once more, which it must not. False: the
   * round was over before.
   */
  async #abandon(hold: Hold, session: Living): Promise<boolean> {
    this.counts.abandoned++
    for (;;) {
      const { answer, ...call } = await this.#client.get(`/v1/session/info/${session.id}?consistent`)
      const isKnown = answer?.status === 200
      const exists = isKnown && (answer.json() as readonly unknown[]).length > 0
      if (isKnown) this.#saw(session, { ...call, answer }, exists)
      if (isKnown && !exists) {
        this.counts.expired++
        this.#ended(hold.client, hold.lock, session, { ...call, calledAt: session.renewal.calledAt + TTL_MS })
        if (await this.#write(hold))
          this.#late.push(`${hold.lock}: ${hold.client} wrote under a session that was gone`)
        return true
      }
      if (this.#stop.signal.aborted) return false
      await this.#pause(LOOK_MS)
    }
  }

  async #destroy(session: Living, lock: string, hold: Hold | null): Promise<void> {
    const giveUpAt = performance.now() + DESTROY_MS
    while (performance.now() < giveUpAt) {
      const calledAt = performance.now()
      // The first call is the one that may have had the effect.
      if (hold !== null) hold.end ??= { how: 'destroy', calledAt }
      const { answer, returnedAt } = await this.#client.put(`/v1/session/destroy/${session.id}`)
      const isDone = answer?.status === 200
      const endedAt = { calledAt: Math.min(calledAt, session.renewal.calledAt + TTL_MS), returnedAt }
      this.#ended(hold?.client ?? 'lock', lock, session, endedAt, isDone)
      if (isDone) break
      await delay(RETRY_MS * 3)
    }
    if (hold?.end?.how === 'destroy') this.counts.destroyed++
  }

  /** The end of a session as an operation on the key it may hold. */
  #ended(
    client: string,
    lock: string,
    session: Living,
    { calledAt, returnedAt }: { readonly calledAt: number; readonly returnedAt: number },
    isDone = true,
  ): void {
    this.#record({
      client: `${client}.end`,
      node: '',
      key: lock,
      call: { f: 'session-end', session: session.id, behavior: 'release' },
      calledAt,
      returnedAt,
      outcome: isDone ? 'ok' : 'unknown',
      output: isDone ? { kind: 'done', ok: true } : null,
    })
  }

  async #look(
    client: string,
    lock: string,
  ): Promise<{ token: number; session: string | null; returnedAt: number } | null> {
    const { output, returnedAt } = await this.#perform(client, lock, { f: 'get' })
    if (output?.kind !== 'entry') return null
    const { version, lockIndex: token = 0, session = null } = output
    this.#locks.push({ lock, version, token, session })
    return { token, session, returnedAt }
  }

  async #perform(client: string, lock: string, call: Operation['call']): Promise<Operation> {
    const { agent } = this.#client.place()
    const target = { port: agent.ports.http, node: agent.name, client }
    const operation = await perform(target, lock, call, call.f === 'get' ? 'consistent' : '')
    this.#record(operation)
    return operation
  }

  #saw({ id, renewal }: Living, { calledAt, returnedAt }: Timed, exists: boolean): void {
    this.#sessions.push({ session: id, ttlMs: TTL_MS, renewal, look: { calledAt, returnedAt, exists } })
  }

  #value(client: string): string {
    return `${client} ${++this.#values}`
  }

  async #pause(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: this.#stop.signal }).catch(() => {})
  }
}
