import { setTimeout as delay } from 'node:timers/promises'
import type { Operation, Output } from '../linearizability/history.ts'
import type { Watch, WatchAnswer } from '../linearizability/watch-check.ts'
import { ask } from '../real/http.ts'
import { readOutput } from './kv-client.ts'
import type { Place } from './nodes.ts'

const WAIT_MS = 2000
const RETRY_MS = 100

/** A blocking query after the other, on every node, for one key. */
export class KeyWatchers {
  readonly watches: readonly Watch[]
  readonly #stop = new AbortController()
  readonly #loops: Promise<void>[]

  /** `record` gets every answer as the read that it is. */
  constructor(places: readonly Place[], key: string, record: (read: Operation) => void) {
    const watches = places.map(({ name }) => ({ node: name, key, answers: [] as WatchAnswer[] }))
    this.watches = watches
    this.#loops = places.map((place, i) => this.#run(place, key, watches[i]?.answers ?? [], record))
  }

  /** Names of the nodes whose watcher has not been told `final` last. */
  missing(final: Exclude<Output, { kind: 'done' }>): string[] {
    return this.watches.filter(({ answers }) => !knows(answers.at(-1)?.output, final)).map(({ node }) => node)
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await Promise.all(this.#loops)
  }

  async #run(
    place: Place,
    key: string,
    answers: WatchAnswer[],
    record: (read: Operation) => void,
  ): Promise<void> {
    let after = 0
    while (!this.#stop.signal.aborted) {
      const calledAt = performance.now()
      const { agent } = place
      const path = `/v1/kv/${key}?index=${after}&wait=${WAIT_MS}ms`
      const answer = await ask(agent.ports.http, path, { timeoutMs: 2 * WAIT_MS }).catch(() => null)
      const output = answer === null ? null : readOutput(answer)
      if (answer === null || output === null) {
        await delay(RETRY_MS, undefined, { signal: this.#stop.signal }).catch(() => {})
        continue
      }
      const returnedAt = performance.now()
      const index = Number(answer.headers['x-consul-index'])
      answers.push({ after, waitMs: WAIT_MS, calledAt, returnedAt, index, output })
      const base = { client: `watch.${place.name}`, node: agent.name, key, calledAt, returnedAt }
      record({ ...base, call: { f: 'get' }, outcome: 'ok', output })
      after = index
    }
  }
}

function knows(told: WatchAnswer['output'] | undefined, final: WatchAnswer['output']): boolean {
  if (told?.kind === 'entry' && final.kind === 'entry') return told.version === final.version
  return told?.kind === final.kind
}
