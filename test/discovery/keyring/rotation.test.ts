import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { announcement, KEYS_META } from '../../../discovery/keyring/announcement.ts'
import { ClusterKeyring } from '../../../discovery/keyring/cluster-keyring.ts'
import { RingStore } from '../../../discovery/keyring/ring-store.ts'
import { SwimMembership } from '../../../discovery/membership/swim-membership.ts'
import { generateClusterKey, keyFingerprint, parseClusterKey } from '../../../discovery/mesh/cluster-key.ts'
import { heldUpMs } from '../../held-up.ts'
import { bytes, capturedLog, makeNode, type TestScope, until, WARN } from '../mesh/cluster.ts'
import { tempDir } from '../temp-dir.ts'

const newKey = () => parseClusterKey(generateClusterKey())
const NEVER = 'never'

/** A node with mesh, membership and keyring, as the agent wires them. */
async function member(
  t: TestScope,
  base: string,
  name: string,
  options: { readonly fileKey: Uint8Array; readonly join: readonly string[] },
) {
  const dataDir = join(base, name)
  const { lines, log } = capturedLog()
  const store = await RingStore.open({ dataDir, fileKey: options.fileKey }, { log })
  const node = await makeNode(t, base, { dataDir, keys: store.keys() })
  const { mesh } = node
  const meta = (): Record<string, string> => {
    const text = announcement(store.ring)
    return text === null ? {} : { [KEYS_META]: text }
  }
  const membership = new SwimMembership({ name, meta: meta(), dataDir, join: options.join }, { mesh, log })
  const keys = new ClusterKeyring(
    { answerTimeoutMs: 20_000 },
    { store, mesh, membership, belonging: () => [], log },
  )
  store.onChange(() => {
    mesh.setKeys(store.keys())
    membership.setMeta(meta())
  })
  const seen: string[] = []
  membership.onChange((each) => seen.push(`${each.name} ${each.status}`))
  const stop = async () => {
    await keys.stop()
    await membership.stop()
    await mesh.stop()
  }
  t.teardown(stop)
  mesh.onRequest('echo', async (_from, payload) => payload)
  await mesh.start()
  await membership.start()
  await keys.start()
  const others = () => membership.members().filter(({ status }) => status === 'alive').length - 1
  return { ...node, name, lines, store, membership, keys, seen, stop, others }
}

type MemberNode = Awaited<ReturnType<typeof member>>

const keysOf = (node: MemberNode) => node.store.keys().map((key) => keyFingerprint(key))

t.test('key-rotation-no-loss: five nodes change their key under traffic, and nothing is lost', async (t) => {
  const base = tempDir(t)
  const [old, next] = [newKey(), newKey()]
  const nodes: MemberNode[] = []
  for (const name of ['n1', 'n2', 'n3', 'n4', 'n5']) {
    const seed = nodes[0]?.mesh.advertise
    nodes.push(await member(t, base, name, { fileKey: old, join: seed === undefined ? [] : [seed] }))
  }
  const [n1, n2, n3] = nodes
  if (!n1 || !n2 || !n3) throw new Error('unreachable')
  const state = () =>
    nodes.map((node) => `${node.name}: ${node.membership.members().map((m) => `${m.name} ${m.status}`)}`)
  await until(() => nodes.every((node) => node.others() === 4 && node.mesh.connected().length === 4), state)
  for (const node of nodes) {
    node.seen.length = 0
    node.events.length = 0
  }

  const lost: string[] = []
  const heldUpBefore = heldUpMs()
  let asked = 0
  let done = false
  const traffic = nodes.map(async (node) => {
    for (let i = 0; !done; i += 1) {
      const to = nodes[i % nodes.length]
      if (to === undefined || to === node) continue
      asked += 1
      const failed = await node.mesh.request(to.mesh.id, 'echo', bytes('x'), { timeoutMs: 20_000 }).then(
        () => null,
        (error: Error) => error.message,
      )
      if (failed !== null) lost.push(failed)
      await sleep(2)
    }
  })
  const installed = await n2.keys.install(next)
  t.same(installed.missing, [])
  t.same((await n3.keys.use(keyFingerprint(next))).missing, [])
  t.same((await n1.keys.remove(keyFingerprint(old))).missing, [])
  for (const node of nodes) t.same(keysOf(node), [keyFingerprint(next)])
  // A while longer: what went wrong with a connection would show now.
  const before = asked
  await until(() => asked >= before + 200)
  done = true
  await Promise.all(traffic)
  t.same(lost, [])
  t.ok(asked > 200)
  // Nobody answered while the machine let none of them run.
  const wasHeldUp = heldUpMs() - heldUpBefore > 500
  for (const node of nodes) {
    t.same(node.events, [], `${node.name} lost no connection`)
    const suspected = node.seen.filter((text) => !text.endsWith('alive'))
    if (!wasHeldUp) t.same(suspected, [], `${node.name} suspected nobody`)
    t.notMatch(JSON.stringify(node.lines), Buffer.from(next).toString('base64'))
  }

  await t.test('a restart with the old key file warns and comes back', async (t) => {
    await n3.stop()
    await until(() => n1.membership.members().some((m) => m.name === 'n3' && m.status === 'failed'), state)
    const back = await member(t, base, 'n3', { fileKey: old, join: [n1.mesh.advertise] })
    t.match(
      back.lines.find(({ level }) => level === WARN)?.msg,
      'is not in the keyring of this node and is not used',
    )
    await until(
      () => back.others() === 4,
      () => back.seen,
    )
    await back.stop()
  })

  await t.test('a stranger with the removed key gets nothing', async (t) => {
    const stranger = await makeNode(t, base, { dataDir: join(base, NEVER), keys: [old] })
    await stranger.mesh.start()
    await t.rejects(stranger.mesh.dial(n1.mesh.advertise), { code: 'MSH_WRONG_KEY' })
  })
})

t.test('a node that slept through install gets the key from its peers and unblocks use', async (t) => {
  const base = tempDir(t)
  const [old, next] = [newKey(), newKey()]
  const n1 = await member(t, base, 'n1', { fileKey: old, join: [] })
  const join = [n1.mesh.advertise]
  const n2 = await member(t, base, 'n2', { fileKey: old, join })
  const n3 = await member(t, base, 'n3', { fileKey: old, join })
  await until(() => [n1, n2, n3].every((node) => node.others() === 2))
  await n3.stop()
  await until(() =>
    [n1, n2].every(({ membership }) =>
      membership.members().some(({ name, status }) => name === 'n3' && status === 'failed'),
    ),
  )
  const result = await n1.keys.install(next)
  t.same(result.done, ['n1', 'n2'])
  t.match(result.missing, [{ name: 'n3' }])
  await t.rejects(n2.keys.use(keyFingerprint(next)), { code: 'KRG_NOT_EVERYWHERE', message: 'n3 (failed)' })
  const back = await member(t, base, 'n3', { fileKey: old, join })
  await until(
    () => keysOf(back).length === 2,
    () => keysOf(back),
  )
  await until(
    () => n2.others() === 2,
    () => n2.membership.members(),
  )
  await n2.keys.use(keyFingerprint(next))
  t.equal(keysOf(back)[0], keyFingerprint(next))
})
