import fc from 'fast-check'
import t from 'tap'
import { BroadcastQueue } from '../../../discovery/membership/core/broadcast-queue.ts'
import type { Update } from '../../../discovery/membership/core/types.ts'

interface Plain {
  readonly update: Update
  readonly order: number
  transmits: number
}

/** The same queue in its plainest form: everything is sorted for each message. */
class PlainQueue {
  readonly #items = new Map<string, Plain>()
  #order = 0

  push(update: Update): void {
    this.#items.set(update.id, { update, order: this.#order++, transmits: 0 })
  }

  drop(id: string): void {
    this.#items.delete(id)
  }

  take(bytesMax: number, limit: number): Update[] {
    const sorted = [...this.#items.values()].sort((a, b) => a.transmits - b.transmits || b.order - a.order)
    const out: Update[] = []
    let bytes = 0
    for (const item of sorted) {
      const length = JSON.stringify(item.update).length
      if (bytes + length > bytesMax) continue
      bytes += length
      out.push(item.update)
      item.transmits++
      if (item.transmits >= limit) this.#items.delete(item.update.id)
    }
    return out
  }
}

type Step = readonly ['push' | 'drop', number, number] | readonly ['take', number, number]

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.tuple(fc.constant('push' as const), fc.nat(12), fc.nat(60)),
  fc.tuple(fc.constant('drop' as const), fc.nat(12), fc.nat(0)),
  fc.tuple(fc.constant('take' as const), fc.integer({ min: 0, max: 900 }), fc.integer({ min: 1, max: 6 })),
)

t.test('takes what a queue that sorts everything takes', async (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const queue = new BroadcastQueue()
      const plain = new PlainQueue()
      let incarnation = 0
      for (const [what, a, b] of steps) {
        if (what === 'push') {
          const id = `n${a}`
          const name = 'x'.repeat(b + 1)
          const update = {
            status: 'alive',
            id,
            incarnation: incarnation++,
            name,
            address: 'h:1',
            meta: {},
          } as const
          queue.push(update)
          plain.push(update)
        } else if (what === 'drop') {
          queue.drop(`n${a}`)
          plain.drop(`n${a}`)
        } else t.same(queue.take(a, b), plain.take(a, b))
      }
      t.same(queue.take(100_000, 9), plain.take(100_000, 9))
    }),
    { numRuns: 300 },
  )
})
