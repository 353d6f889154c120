import { pino } from 'pino'
import t from 'tap'
import { composeKeyring } from '../../agent/compose/keyring.ts'
import type { ConsensusStatus } from '../../consensus/client.ts'
import { RingStore } from '../../discovery/keyring/ring-store.ts'
import type { SwimMembership } from '../../discovery/membership/swim-membership.ts'
import type { Member } from '../../discovery/membership/types.ts'
import type { Libp2pMesh } from '../../discovery/mesh/libp2p-mesh.ts'
import { FakeNetwork } from '../discovery/fake-mesh.ts'
import { tempDir } from '../discovery/temp-dir.ts'

const key = (n: number) => new Uint8Array(32).fill(n)

t.test('the keyring counts the nodes of the Raft configuration', async (t) => {
  const log = pino({ level: 'silent' })
  const ring = await RingStore.open({ dataDir: tempDir(t), fileKey: key(1) }, { log })
  const self: Member = { id: 'a', name: 'a', address: 'a:1', status: 'alive', incarnation: 1, meta: {} }
  const membership = { members: () => [self], get: () => undefined, local: () => self }
  let peers: readonly string[] = []
  const status = () => ({ peers: peers.map((id) => ({ id })) }) as unknown as ConsensusStatus
  const keys = composeKeyring(
    {
      ring,
      mesh: new FakeNetwork().add('a') as unknown as Libp2pMesh,
      membership: membership as unknown as SwimMembership,
    },
    { client: { status }, log },
  )
  const { fingerprint } = await keys.install(key(2))
  await t.rejects(keys.use(fingerprint), { code: 'KRG_BELONGING_UNKNOWN' }, 'it is in no cluster yet')
  peers = ['a', 'b']
  t.match(await keys.install(key(2)), { done: ['a'], missing: [{ name: 'b' }] })
  await t.rejects(keys.use(fingerprint), { code: 'KRG_NOT_EVERYWHERE' })
  peers = ['a']
  t.match(await keys.use(fingerprint), { done: ['a'], missing: [] })
})
