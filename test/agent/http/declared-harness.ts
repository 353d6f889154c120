import { pino } from 'pino'
import type { Test } from 'tap'
import { DeclaredNodes } from '../../../agent/declared/declared-nodes.ts'
import { type Authorizer, allowAll } from '../../../agent/http/permissions.ts'
import { CatalogStore } from '../../../discovery/catalog/store.ts'
import { FakeMembership, record, service } from '../../discovery/catalog/fixtures.ts'
import { FakeConsensus } from './fake-consensus.ts'
import { harness } from './harness.ts'

/** A server over the real catalogue and the real carrier of declarations; `n2` is a member that runs `web`. */
export async function declaredHarness(t: Test, authorizer: Authorizer = allowAll) {
  const log = pino({ level: 'silent' })
  const membership = new FakeMembership('n1')
  const store = new CatalogStore({ membership, log })
  store.start()
  membership.set('n2')
  store.put(record('n2', 1, [service('web')]), 0)
  const consensus = new FakeConsensus()
  const declared = new DeclaredNodes({ client: consensus, catalog: store, log })
  await declared.start()
  const made = harness({ consensus, catalog: store, declared, membership, authorizer })
  t.teardown(async () => {
    await declared.stop()
    await made.app.close()
  })
  const put = (url: string, body: unknown) =>
    made.app.inject({ method: 'PUT', url, payload: typeof body === 'string' ? body : JSON.stringify(body) })
  const get = async (url: string) => (await made.app.inject(url)).json()
  return {
    ...made,
    consensus,
    store,
    membership,
    declared,
    get,
    put,
    register: (body: unknown) => put('/v1/catalog/register', body),
    deregister: (body: unknown) => put('/v1/catalog/deregister', body),
    txn: (operations: unknown) => put('/v1/txn', operations),
  }
}
