import t, { type Test } from 'tap'
import type { AgentProcess } from './agent-process.ts'
import { Cluster } from './cluster.ts'
import { startCommand } from './command.ts'
import { dig, digShort, missingPrograms, programPath, register } from './dns-tools.ts'
import { until } from './until.ts'

const MANY = 60
const skip = missingPrograms({ dig: 'bind9-dnsutils', dnsmasq: 'dnsmasq-base' })

/** One agent with a few services, which asks dnsmasq for names of others; dnsmasq asks it for its domains. */
async function start(t: Test): Promise<{ readonly agent: AgentProcess; readonly dnsmasq: number }> {
  const cluster = await Cluster.create(t)
  const dnsmasq = await cluster.freePort()
  const agent = await cluster.add('n1', {
    bootstrapExpect: 1,
    env: {
      CONSTELLATION_NODE_META: 'zone=a',
      CONSTELLATION_DNS_RECURSORS: `127.0.0.1:${dnsmasq}`,
      CONSTELLATION_DNS_SERVICE_TTL: 'web=7s,*=1s',
      CONSTELLATION_DNS_SOA_MIN_TTL: '3s',
    },
  })
  await cluster.start()
  await register(agent, { Name: 'web', Port: 8080, Tags: ['blue'], Weights: { Passing: 9, Warning: 1 } })
  await register(agent, { Name: 'api', Address: '10.9.0.1', Port: 1 })
  await register(agent, { Name: 'ill', Port: 1, Check: { TTL: '1h', Status: 'critical' } })
  await register(agent, { Name: 'out', Address: 'db.example.test', Port: 5432 })
  for (let i = 0; i < MANY; i++) {
    await register(agent, { ID: `many-${i}`, Name: 'many', Address: `10.1.0.${i}`, Port: 9000 + i })
  }
  const forward = ['consul', 'constellation', '127.in-addr.arpa'].map(
    (domain) => `--server=/${domain}/127.0.0.1#${agent.ports.dns}`,
  )
  const running = startCommand(programPath('dnsmasq') ?? '', [
    '--keep-in-foreground',
    '--conf-file=/dev/null',
    '--pid-file=',
    '--no-resolv',
    '--no-hosts',
    '--no-daemon',
    '--listen-address=127.0.0.1',
    '--bind-interfaces',
    `--port=${dnsmasq}`,
    '--address=/example.test/192.0.2.7',
    ...forward,
  ])
  t.teardown(async () => {
    running.signal('SIGTERM')
    await running.ended
  })
  await until('dnsmasq answers', async () => (await digShort(dnsmasq, 'db.example.test')).length === 1, {
    state: () => running.err(),
  })
  return { agent, dnsmasq }
}

t.test('dig asks an agent', { skip, timeout: 90_000 }, async (t) => {
  const { agent, dnsmasq } = await start(t)
  const { dns } = agent.ports
  const short = (...args: string[]) => digShort(dns, ...args)

  t.same(await short('web.service.consul'), ['127.0.0.1'])
  t.same(await short('WEB.Service.Constellation'), ['127.0.0.1'])
  t.same(await short('blue.web.service.dc1.consul'), ['127.0.0.1'])
  t.same(await short('+tcp', '_web._tcp.service.consul', 'SRV'), ['1 9 8080 n1.node.dc1.consul.'])
  t.same(await short('_api._tcp.consul', 'SRV'), ['1 1 1 0a090001.addr.dc1.consul.'])
  t.same(await short('web.service.n1.node.consul'), ['127.0.0.1'])
  t.same(await short('web.n1.constellation'), ['127.0.0.1'])
  t.same(await short('n1.node.consul', 'TXT'), ['"zone=a"'])
  t.same(await short('consul', 'NS'), ['n1.node.dc1.consul.'])
  t.match(await short('consul', 'SOA'), [/^ns\.consul\. hostmaster\.consul\. \d+ 3600 600 86400 3$/])
  t.same(await short('-x', '127.0.0.1'), ['n1.node.dc1.constellation.'])
  t.same(await short('-x', '10.9.0.1'), ['api.service.dc1.constellation.'])
  t.match(
    await dig(dns, 'web.service.consul', 'ANY'),
    /\nweb\.service\.consul\.\s+7\s+IN\s+A\s+127\.0\.0\.1\n/,
  )
  t.match(
    await dig(dns, 'web.service.consul'),
    /flags: qr aa rd ra;[\s\S]*EDNS: version: 0, flags:; udp: 1232/,
  )

  t.match(await dig(dns, 'none.service.consul'), /status: NXDOMAIN[\s\S]*AUTHORITY: 1/)
  t.match(
    await dig(dns, 'ill.service.consul'),
    /status: NXDOMAIN[\s\S]*EDE: 0 \(Other\): \(no instance of ill is healthy/,
  )
  t.match(await dig(dns, 'web.service.consul', 'AAAA'), /status: NOERROR[\s\S]*ANSWER: 0, AUTHORITY: 1/)
  t.match(await dig(dns, '+edns=1', '+noednsnegotiation', 'web.service.consul'), /status: BADVERS/)
  t.match(await dig(dns, 'consul', 'AXFR'), /Transfer failed/)
  t.match(await dig(dns, '+subnet=192.0.2.0/24', 'web.service.consul'), /CLIENT-SUBNET: 192\.0\.2\.0\/24\/0/)

  const size = (out: string) => Number(/MSG SIZE\s+rcvd: (\d+)/.exec(out)?.[1])
  const small = await dig(dns, '+noedns', '+ignore', 'many.service.consul')
  t.match(small, /flags: qr aa tc/)
  t.ok(size(small) <= 512, `${size(small)} bytes without EDNS`)
  const middle = await dig(dns, '+bufsize=900', '+ignore', 'many.service.consul', 'SRV')
  t.match(middle, /flags: qr aa tc/)
  t.ok(size(middle) <= 900 && size(middle) > 800, `${size(middle)} bytes of 900`)
  t.equal((await short('+noedns', 'many.service.consul')).length, MANY, 'dig asks again over TCP')
  t.equal((await short('+tcp', '+keepopen', 'many.service.consul', 'SRV')).length, MANY)
  t.equal((await short('+bufsize=4096', '+ignore', 'many.service.consul')).length, MANY)

  t.same(await short('www.example.test'), ['192.0.2.7'], 'asked of dnsmasq')
  t.same(await short('out.service.consul'), ['192.0.2.7', 'db.example.test.'])
  t.match(await dig(dns, '+norecurse', 'www.example.test'), /status: REFUSED/)

  t.same(await digShort(dnsmasq, 'web.service.consul'), ['127.0.0.1'], 'dnsmasq forwards the domain')
  t.same(await digShort(dnsmasq, 'web.n1.constellation'), ['127.0.0.1'])
  t.same(await digShort(dnsmasq, '_web._tcp.service.consul', 'SRV'), ['1 9 8080 n1.node.dc1.consul.'])
  t.equal((await digShort(dnsmasq, 'many.service.consul')).length, MANY)
  t.match(await dig(dnsmasq, 'none.service.consul'), /status: NXDOMAIN/)
  t.same(await digShort(dnsmasq, '-x', '127.0.0.1'), ['n1.node.dc1.constellation.'])
})
