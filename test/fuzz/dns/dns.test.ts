import fc from 'fast-check'
import t from 'tap'
import { DNS_PROPERTIES } from './parser.ts'
import { hurtDnsServer } from './sockets.ts'

const SEED = 20_261_121
const RUNS = 1_500
const SOCKET_RUNS = 150

for (const { name, property } of DNS_PROPERTIES) {
  t.test(name, async () => {
    await fc.assert(property, { seed: SEED, numRuns: RUNS })
  })
}

t.test('a DNS server is sent anything over UDP and TCP, and goes on', async () => {
  await hurtDnsServer({ seed: SEED, numRuns: SOCKET_RUNS })
})
