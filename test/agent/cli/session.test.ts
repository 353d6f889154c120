import t from 'tap'
import { harness, listen } from '../http/harness.ts'
import { runInProcess } from './run.ts'

const { app, consensus } = harness()
const at = ['--http-addr', `127.0.0.1:${await listen(app)}`]
t.teardown(() => app.close())
const run = (...args: string[]) => runInProcess(['session', ...args, ...at])
const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

t.test('create, list, info, renew, destroy', async (t) => {
  t.strictSame(await run('list'), { code: 0, out: 'no sessions\n', err: '' })
  t.strictSame(await run('list', '--json'), { code: 0, out: '[]\n', err: '' })
  const created = await run(
    'create',
    '--name',
    'my deploy',
    '--ttl',
    '90s',
    '--lock-delay',
    '1500ms',
    '--behavior',
    'delete',
    '--no-checks',
  )
  t.match(created, { code: 0, err: '' })
  const id = created.out.trim()
  t.match(id, ID, 'nothing but the id, for scripts')
  t.match(consensus.state.session(id), {
    name: 'my deploy',
    ttl: '1m30s',
    lockDelayMs: 1500,
    behavior: 'delete',
    nodeChecks: [],
  })
  const table = `ID                                    NAME       NODE  TTL    BEHAVIOR  LOCK DELAY  CHECKS
${id}  my deploy  n1    1m30s  delete    1.5s        -
`
  t.strictSame(await run('list'), { code: 0, out: table, err: '' })
  t.strictSame(await run('list', '--node', 'n1'), { code: 0, out: table, err: '' })
  t.equal((await run('list', '--node', 'n 2')).out, 'no sessions\n')
  t.equal((await run('info', id)).out, table)
  t.match(JSON.parse((await run('info', id, '--json')).out), [{ ID: id, LockDelay: 1_500_000_000 }])
  t.strictSame(await run('renew', id), { code: 0, out: `renewed: ${id}, TTL 1m30s\n`, err: '' })
  t.strictSame(consensus.renewed, [id])
  t.strictSame(await run('destroy', id), { code: 0, out: `destroyed: ${id}\n`, err: '' })
  t.strictSame(await run('destroy', id, '--json'), { code: 0, out: 'true\n', err: '' }, 'again')
  const gone = { code: 1, out: '', err: `constellation: no such session: ${id}; it may have ended\n` }
  t.strictSame(await run('renew', id), gone)
  t.strictSame(await run('info', id), gone)
  t.strictSame(await run('info', id, '--json'), gone)
})

t.test('what is not said is left to the agent', async (t) => {
  const { out } = await run('create', '--json')
  const { ID: id } = JSON.parse(out)
  t.match(consensus.state.session(id), {
    ttl: '',
    lockDelayMs: 15_000,
    behavior: 'release',
    nodeChecks: ['serfHealth'],
  })
  t.match((await run('info', id)).out, / - {5}n1 {4}- {4}release {3}15s {9}serfHealth\n$/)
  t.match(await run('create', '--ttl', '2s'), {
    code: 1,
    out: '',
    err: /answered 500: Invalid Session TTL '2000000000'/,
  })
  const checked = await run('create', '--check', 'serfHealth', '--check', 'nope')
  t.match(
    checked,
    { code: 1, out: '', err: /answered 500: Missing check 'nope' registration/ },
    'all are sent',
  )
})

t.test('wrong usage', async (t) => {
  for (const [args, err] of [
    [['create', '--ttl', '15'], /It must be a duration 1s-24h, such as 15s or 1m30s\./],
    [['create', '--lock-delay', '61s'], /It must be a duration 0s-60s/],
    [['create', '--behavior', 'x'], /Allowed choices are release, delete/],
    [['create', '--no-checks', '--check', 'a'], /--check and --no-checks exclude each other/],
    [['renew'], /missing required argument 'id'/],
    [['renew', ''], /It must not be empty/],
  ] as const) {
    t.match(await run(...args), { code: 64, out: '', err }, args.join(' '))
  }
})
