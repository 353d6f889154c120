import { pino } from 'pino'
import t, { type Test } from 'tap'
import { DnsServer } from '../../../discovery/dns/server.ts'
import { FakeCatalog } from '../../discovery/dns/fixtures.ts'
import { inProcess, stubAgent } from './run.ts'

const catalog = new FakeCatalog([
  {
    name: 'n1',
    address: '10.0.0.1',
    meta: { zone: 'a "b"' },
    services: [
      { name: 'web', tags: ['blue'] },
      { name: 'db', status: 'critical' },
      ...Array.from({ length: 100 }, (_, i) => ({ id: `m${i}`, name: 'many', address: `10.1.0.${i}` })),
    ],
  },
])

async function start(t: Test): Promise<string> {
  const server = new DnsServer(
    { listen: { host: '127.0.0.1', port: 0 }, domain: 'constellation', datacenter: 'dc1' },
    { catalog, log: pino({ level: 'silent' }) },
  )
  await server.start()
  t.teardown(() => server.stop())
  return `127.0.0.1:${server.address().port}`
}

/** A row of /v1/health/service. */
function row(id: string, node: string, output: string, tags: readonly string[] = []) {
  return {
    Node: { Node: node },
    Service: { ID: id, Tags: tags },
    Checks: [
      { Name: 'Serf Health Status', Status: 'passing', Output: '' },
      { Name: 'http', Status: 'critical', Output: output },
    ],
  }
}

t.test('prints what was answered', async (t) => {
  const server = await start(t)
  const resolve = (...args: string[]) => inProcess('resolve', ...args, '--server', server)
  t.match(await resolve('web.service.constellation'), {
    code: 0,
    err: '',
    out: new RegExp(`^; ${server}: NOERROR, authoritative, \\d+ bytes over udp, [\\d.]+ ms
; web\\.service\\.constellation\\. IN A

; answer
web\\.service\\.constellation\\. 0 IN A 10\\.0\\.0\\.1
$`),
  })
  t.same(await resolve('web', '--short'), { code: 0, out: '10.0.0.1\n', err: '' })
  t.same(await resolve('_web._tcp.consul', 'srv', '--short', '--tcp'), {
    code: 0,
    out: '1 1 80 n1.node.dc1.consul.\n',
    err: '',
  })
  t.match(await resolve('web.service.consul', 'SRV'), {
    out: /; additional\nn1\.node\.dc1\.consul\. 0 IN A 10/,
  })
  t.same((await resolve('10.0.0.1', '--short')).out, 'n1.node.dc1.constellation.\n')
  t.same((await resolve('n1.node.consul', 'TXT', '--short')).out, '"zone=a \\"b\\""\n')
  t.match(await resolve('consul', 'SOA', '--short'), { out: /^ns\.consul\. hostmaster\.consul\. 42 3600 / })
  t.match(await resolve('many'), { out: /bytes over tcp/ }, 'a cut answer is asked for again')
  const document = JSON.parse((await resolve('web', '--json')).out)
  t.match(document, {
    server,
    transport: 'udp',
    rcode: 'NOERROR',
    authoritative: true,
    truncated: false,
    question: { name: 'web.service.consul', type: 'A' },
    answers: [{ name: 'web.service.consul.', type: 'A', ttl: 0, data: '10.0.0.1' }],
    explanation: null,
  })
})

t.test('says why nothing was found', async (t) => {
  const server = await start(t)
  const agent = await stubAgent({
    'GET /v1/catalog/services': { body: JSON.stringify({ web: ['blue'], db: [], 'my app': [] }) },
    'GET /v1/catalog/nodes': { body: JSON.stringify([{ Node: 'n1' }, { Node: 'n2' }]) },
    'GET /v1/health/service/db': {
      body: JSON.stringify([row('db-1', 'n1', 'timeout\n after 5s'), row('db-2', 'n2', '')]),
    },
    'GET /v1/health/service/web': { body: JSON.stringify([row('web', 'n1', 'x', ['blue'])]) },
  })
  t.teardown(() => agent.close())
  const why = async (...args: string[]) => {
    const { code, err } = await inProcess(
      'resolve',
      ...args,
      '--server',
      server,
      '--http-addr',
      agent.address,
    )
    t.equal(code, 1, args.join(' '))
    return err
  }
  t.equal(
    await why('db'),
    'constellation: all 2 instances of the service db are critical: db-1 on n1 (http: timeout after 5s), db-2 on n2 (http)\n',
  )
  t.equal(
    await why('db.service.n2.node.consul'),
    'constellation: the only instance of the service db is critical: db-2 on n2 (http)\n',
  )
  t.equal(await why('wev'), 'constellation: no service is called wev; did you mean web?\n')
  t.equal(
    await why('elsewhere'),
    'constellation: no service is called elsewhere; there are db, my app, web\n',
  )
  t.equal(
    await why('red.web.service.consul'),
    'constellation: no instance of the service web has the tag red\n',
  )
  t.equal(
    await why('web.service.n2.node.consul'),
    'constellation: the service web does not run on n2; it runs on n1\n',
  )
  t.equal(await why('n9.node.consul'), 'constellation: no node is called n9; did you mean n1?\n')
  t.equal(await why('foo.consul'), 'constellation: foo.consul does not exist\n')
  t.equal(await why('web', 'AAAA'), 'constellation: web.service.consul exists, but has no AAAA record\n')
  t.match(await why('example.com'), /not in a domain of the agent, and it asks nobody else/)
  const json = await inProcess('resolve', 'db', '--json', '--server', server, '--http-addr', agent.address)
  t.match(JSON.parse(json.out), {
    rcode: 'NXDOMAIN',
    extendedError: { code: 0, text: 'no instance of db is healthy, of 1' },
    explanation: /^all 2 instances/,
  })
  t.equal(json.code, 1)
  const alone = await inProcess('resolve', 'db', '--server', server, '--http-addr', '127.0.0.1:1')
  t.match(alone, { code: 1, err: /no instance of db is healthy, of 1 \(why could not be asked: no agent/ })
})

t.test('what cannot be asked', async (t) => {
  t.match(await inProcess('resolve', 'web', '--server', '127.0.0.1:1'), {
    code: 1,
    err: /nothing answers DNS at 127\.0\.0\.1:1/,
  })
  t.match(await inProcess('resolve', 'web', '--server', '127.0.0.1'), {
    code: 64,
    err: /--server.*has no port/,
  })
  t.match(await inProcess('resolve', 'web', 'BOGUS'), {
    code: 64,
    err: /no type of record; allowed: A, AAAA/,
  })
  t.match(await inProcess('resolve', 'a..b'), { code: 64, err: /is no name/ })
  t.match(await inProcess('resolve'), { code: 64 })
})
