import fc from 'fast-check'
import { decodeRecord, encodeRecord } from '../../../consensus/state/codec.ts'
import { get, set, TestCluster } from '../../consensus/cluster.ts'
import { command, spoiled } from './commands.ts'

const CALL_MS = 2000

/**
 * Sends a leader spoiled proposals, as a member of its cluster that is broken or newer may. It must answer each, go on, and start again
 * on the log that came of them. @throws Error with the proposal it did not survive
 */
export async function hurtLeader(options: {
  readonly seed: number
  readonly numRuns: number
}): Promise<void> {
  const cluster = new TestCluster()
  try {
    await cluster.found(1)
    const peer = cluster.network.transport('x')
    let sequence = 0
    const record = fc.record({
      origin: fc.constant('x'),
      sequence: fc.integer({ min: 1, max: 1_000_000 }),
      acknowledged: fc.constantFrom(0, 1, 1_000_000),
      command,
    })
    await fc.assert(
      fc.asyncProperty(spoiled(record), async (proposal) => {
        const request = encodeRecord({ op: 'propose', record: proposal })
        // A refusal may also be that the connection is cut.
        await peer.request('a', request, { timeoutMs: CALL_MS }).then(decodeRecord, () => null)
        const [fatal] = cluster.fatal
        if (fatal !== undefined) throw fatal
        await cluster.client('a').propose(set('good', String(++sequence)), { timeoutMs: 10 * CALL_MS })
      }),
      options,
    )
    await cluster.stop('a')
    await cluster.restart('a')
    await cluster.leader()
    if ((await get(cluster.client('a'), 'good')) !== String(sequence)) throw new Error('a write is lost')
  } finally {
    await cluster.close()
  }
}
