import { setTimeout as delay } from 'node:timers/promises'
import { type Claim, checkClaims, checkFencing, type FencedWrite } from '../linearizability/lock-check.ts'
import type { LeaseRow } from '../real/cluster.ts'
import { perform } from './kv-client.ts'
import type { Place } from './nodes.ts'

const INTERVAL_MS = 60
/** Every so many looks a holder also writes under its token. */
const WRITE_EVERY = 8

/**
 * Asks every node all the time which leases it holds, and lets the holders write a key each under their fencing token,
 * as something that a lease protects would: it refuses a token older than the one it has seen.
 */
export class LeaseObserver {
  readonly #stop = new AbortController()
  readonly #loops: Promise<void>[]
  /** First and last claim of every run of claims of one holder with one token. */
  readonly #claims: Claim[] = []
  readonly #writes = new Map<string, FencedWrite>()
  #looks = 0
  #refused = 0

  constructor(places: readonly Place[]) {
    this.#loops = places.map((place) => this.#run(place))
  }

  /** Answers, claims kept, writes under a token, and writes that were refused because their token was old. */
  get counts(): { looks: number; claims: number; writes: number; refused: number } {
    return {
      looks: this.#looks,
      claims: this.#claims.length,
      writes: this.#writes.size,
      refused: this.#refused,
    }
  }

  /** Distinct pairs of lease and token that were seen. */
  get tokens(): number {
    return new Set(this.#claims.map(({ lock, token }) => `${lock} ${token}`)).size
  }

  /** Contradictions so far. */
  check(): string[] {
    return [...checkClaims(this.#claims), ...checkFencing([...this.#writes.values()])]
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await Promise.all(this.#loops)
  }

  async #run(place: Place): Promise<void> {
    const runs = new Map<string, { readonly first: Claim; last: Claim | null }>()
    for (let look = 0; !this.#stop.signal.aborted; look++) {
      const askedAt = performance.now()
      const { agent } = place
      const rows = await agent
        .json<readonly LeaseRow[]>('/api/v1/leases', { timeoutMs: 1500 })
        .catch(() => [])
      const answeredAt = performance.now()
      if (rows.length > 0) this.#looks++
      for (const { name, heldBySelf, fencingToken } of rows) {
        if (!heldBySelf || fencingToken === null) continue
        const claim = { holder: agent.name, lock: name, token: fencingToken, askedAt, answeredAt }
        this.#claim(runs, claim)
        if (look % WRITE_EVERY === 0) await this.#write(place, claim, look)
      }
      await delay(INTERVAL_MS, undefined, { signal: this.#stop.signal }).catch(() => {})
    }
  }

  /** Of equal claims in a row the first answer and the last question say all. */
  #claim(runs: Map<string, { readonly first: Claim; last: Claim | null }>, claim: Claim): void {
    const run = runs.get(claim.lock)
    if (run?.first.token !== claim.token || run.first.holder !== claim.holder) {
      runs.set(claim.lock, { first: claim, last: null })
      this.#claims.push(claim)
    } else if (run.last === null) {
      run.last = { ...claim }
      this.#claims.push(run.last)
    } else {
      Object.assign(run.last, claim)
    }
  }

  async #write({ agent }: Place, { lock, token }: Claim, look: number): Promise<void> {
    const target = { port: agent.ports.http, node: agent.name, client: `lease.${agent.name}` }
    const key = `fenced/${lock}`
    const { output } = await perform(target, key, { f: 'get' })
    if (output === null || output.kind === 'done') return
    const version = output.kind === 'entry' ? output.version : 0
    if (output.kind === 'entry') {
      const known = Number.parseInt(output.value, 10)
      this.#writes.set(`${lock} ${version}`, { lock, token: known, version })
      if (known > token) {
        this.#refused++
        return
      }
    }
    await perform(target, key, { f: 'cas', value: `${token} of ${agent.name} ${look}`, version })
  }
}
