import t, { type Test } from 'tap'
import type { Permission } from '../../../agent/http/permissions.ts'
import { declaredHarness } from './declared-harness.ts'

const PRINTER = { Node: 'printer', Address: '192.0.2.7' }
const IPP = { Service: 'ipp', Port: 631 }

/** The harness with a policy that allows what is in `allowed`. */
async function setUp(t: Test) {
  const allowed = new Set<Permission>()
  const made = await declaredHarness(t, { authorize: ({ permission }) => allowed.has(permission) })
  const allow = (...permissions: readonly Permission[]) => {
    allowed.clear()
    for (const permission of permissions) allowed.add(permission)
  }
  return { ...made, allow }
}

/** Bodies, and what exactly each needs. */
type Cases = readonly (readonly [body: unknown, ...needs: Permission[]])[]

const ALL: readonly Permission[] = ['key:write', 'node:write', 'service:write', 'node:read', 'service:read']

t.test('a node and its checks need node:write, a service and its checks service:write', async (t) => {
  const { register, deregister, txn, allow } = await setUp(t)
  const node = { Node: 'printer', SkipNodeUpdate: true }
  const registrations: Cases = [
    [PRINTER, 'node:write'],
    [{ ...PRINTER, Service: IPP }, 'node:write', 'service:write'],
    [{ ...node, Service: IPP }, 'service:write'],
    [{ ...node, Check: { Name: 'of node' } }, 'node:write'],
    [{ ...node, Check: { Name: 'of ipp', ServiceID: 'ipp' } }, 'service:write'],
  ]
  const check = (id: string, more = {}) => ({ Check: { Node: 'printer', CheckID: id, ...more } })
  const transactions: Cases = [
    [[{ Node: { Verb: 'get', Node: { Node: 'printer' } } }], 'node:read'],
    [[{ Service: { Verb: 'get', Node: 'printer', Service: { ID: 'ipp' } } }], 'service:read'],
    [[{ Check: { Verb: 'get', ...check('of node') } }], 'node:read'],
    [[{ Check: { Verb: 'get', ...check('of ipp') } }], 'service:read'],
    [[{ Check: { Verb: 'set', ...check('x', { ServiceID: 'ipp', Name: 'x' }) } }], 'service:write'],
    [[{ Check: { Verb: 'set', ...check('x', { Name: 'x' }) } }], 'service:write', 'node:write'],
    [[{ Check: { Verb: 'delete', ...check('x') } }], 'node:write'],
    [[{ KV: { Verb: 'set', Key: 'k', Value: '' } }], 'key:write'],
    [
      [
        { KV: { Verb: 'set', Key: 'k', Value: '' } },
        { Node: { Verb: 'set', Node: { Node: 'other', Address: '192.0.2.8' } } },
      ],
      'key:write',
      'node:write',
    ],
  ]
  const deregistrations: Cases = [
    [{ Node: 'printer', CheckID: 'of ipp' }, 'service:write'],
    [{ Node: 'printer', CheckID: 'of node' }, 'node:write'],
    [{ Node: 'printer', ServiceID: 'ipp' }, 'service:write'],
    [{ Node: 'printer' }, 'node:write'],
  ]
  for (const [send, cases] of [
    [register, registrations],
    [txn, transactions],
    [deregister, deregistrations],
  ] as const) {
    for (const [body, ...needs] of cases) {
      for (const missing of needs) {
        allow(...ALL.filter((permission) => permission !== missing))
        const refused = await send(body)
        t.equal(refused.statusCode, 403, `${JSON.stringify(body)} without ${missing}`)
        t.equal(refused.body, 'Permission denied')
      }
      allow(...needs)
      t.equal((await send(body)).statusCode, 200, `${JSON.stringify(body)} with ${needs}`)
    }
  }
})

t.test('a failed member leaves with its node, if the request might force it to', async (t) => {
  const { deregister, txn, membership, allow } = await setUp(t)
  const deletion = [{ Node: { Verb: 'delete', Node: { Node: 'n2' } } }]
  for (const act of [() => deregister({ Node: 'n2' }), () => txn(deletion)]) {
    membership.set('n2', { status: 'failed' })
    allow('node:write')
    t.equal((await act()).statusCode, 200)
    t.equal(membership.get('n2')?.status, 'failed')
    allow('node:write', 'operator:write')
    t.equal((await act()).statusCode, 200)
    t.equal(membership.get('n2')?.status, 'left')
    membership.set('n2', { status: 'alive' })
    t.equal((await act()).statusCode, 200)
    t.equal(membership.get('n2')?.status, 'alive', 'a living one stays')
  }
})
