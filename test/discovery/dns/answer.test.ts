import fc from 'fast-check'
import t from 'tap'
import { addressToHex, hexToAddress } from '../../../discovery/dns/address.ts'
import { DnsView, type Zone } from '../../../discovery/dns/answer.ts'
import type { ResourceRecord } from '../../../discovery/dns/records.ts'
import { reverseAddress, reverseName } from '../../../discovery/dns/reverse.ts'
import { FakeCatalog } from './fixtures.ts'

const catalog = new FakeCatalog([
  {
    name: 'n1',
    address: '10.0.0.1',
    meta: { zone: 'a', 'rfc1035-note': 'raw text', long: 'x'.repeat(300) },
    services: [
      { name: 'web', tags: ['Blue', 'v1.2'], weights: { passing: 10, warning: 2 } },
      { name: 'six', address: 'fd00::5' },
      { name: 'db', status: 'critical' },
      { name: 'named', address: 'db.example.net' },
      { name: 'Mixed' },
    ],
  },
  {
    name: 'n2.rack',
    address: 'fd00::2',
    services: [
      {
        name: 'web',
        tags: ['green'],
        address: '10.1.0.2',
        port: 81,
        status: 'warning',
        weights: { passing: 10, warning: 2 },
      },
      { name: 'dual', taggedAddresses: { lan_ipv4: { address: '10.7.0.1', port: 80 } } },
    ],
  },
  { name: 'n3', address: '10.0.0.3', alive: false, services: [{ name: 'web', status: 'critical' }] },
])
const zone: Zone = {
  domains: ['constellation', 'consul'],
  datacenter: 'dc1',
  ttls: { node: 0, service: {}, negative: 0 },
  onlyPassing: false,
  addressesMax: 0,
}
const ask = (name: string, type = 'A', random = 0.999, other: Partial<Zone> = {}) =>
  new DnsView(catalog, { ...zone, ...other }, () => random).answer({ name, type, class: 1 })
const data = (name: string, type = 'A') => ask(name, type).answers.map((record) => record.data)

t.test('services: healthy and warning instances, own address before the address of the node', (t) => {
  t.same(data('web.service.constellation'), ['10.0.0.1', '10.1.0.2'])
  for (const name of [
    'web.service.consul',
    'WEB.Service.DC1.consul.',
    'web.service.dc1.dc.consul',
    '_web._tcp.consul',
    '_web._tcp.service.dc1.consul',
  ]) {
    t.same(data(name), ['10.0.0.1', '10.1.0.2'], name)
  }
  t.same(data('web.service.consul', 'ANY'), ['10.0.0.1', '10.1.0.2'])
  t.same(data('six.service.consul', 'AAAA'), ['fd00::5'])
  t.same(data('dual.service.consul', 'A'), ['10.7.0.1'])
  t.same(data('dual.service.consul', 'AAAA'), ['fd00::2'])
  t.same(data('mixed.service.consul'), ['10.0.0.1'])
  const { answers, authoritative } = ask('WEB.service.consul')
  t.match(answers[0], { name: 'WEB.service.consul', ttl: 0 })
  t.equal(authoritative, true)
  t.end()
})

t.test('instances come in the order the generator draws', (t) => {
  t.same(
    ask('web.service.consul', 'A', 0).answers.map((record) => record.data),
    ['10.1.0.2', '10.0.0.1'],
  )
  t.end()
})

t.test('tags, with dots, without regard to case', (t) => {
  t.same(data('blue.web.service.consul'), ['10.0.0.1'])
  t.same(data('_web._green.consul'), ['10.1.0.2'])
  t.same(data('v1.2.web.service.consul'), ['10.0.0.1'])
  for (const name of ['red.web.service.consul', '_web._udp.consul'])
    t.equal(ask(name).rcode, 'NXDOMAIN', name)
  t.end()
})

t.test('SRV: weight, port, target and its address', (t) => {
  const { answers, additionals } = ask('_web._tcp.consul', 'SRV')
  t.same(
    answers.map((record) => record.data),
    [
      { priority: 1, weight: 10, port: 80, target: 'n1.node.dc1.consul' },
      { priority: 1, weight: 2, port: 81, target: '0a010002.addr.dc1.consul' },
    ],
  )
  t.match(additionals, [
    { name: 'n1.node.dc1.consul', type: 'A', data: '10.0.0.1' },
    { name: '0a010002.addr.dc1.consul', type: 'A', data: '10.1.0.2' },
  ])
  t.match(ask('dual.service.constellation', 'SRV').additionals, [
    { name: 'n2.rack.node.dc1.constellation', type: 'AAAA', data: 'fd00::2' },
    { name: 'n2.rack.node.dc1.constellation', type: 'A', data: '10.7.0.1' },
  ])
  t.match(data('six.service.consul', 'SRV'), [{ target: 'fd000000000000000000000000000005.addr.dc1.consul' }])
  t.match(data('named.service.consul', 'SRV'), [{ target: 'db.example.net' }])
  t.end()
})

t.test('a service whose address is a name is an alias', (t) => {
  t.match(ask('named.service.consul').answers, [{ type: 'CNAME', data: 'db.example.net' }])
  t.end()
})

t.test('nodes', (t) => {
  t.same(data('n1.node.consul'), ['10.0.0.1'])
  t.same(data('N1.node.dc1.constellation'), ['10.0.0.1'])
  t.same(data('n2.rack.node.consul', 'AAAA'), ['fd00::2'])
  const texts = ask('n1.node.consul', 'TXT').answers.map((record: ResourceRecord) =>
    record.type === 'TXT' ? record.data.map(String) : [],
  )
  t.same(texts, [[`long=${'x'.repeat(250)}`, 'x'.repeat(50)], ['raw text'], ['zone=a']])
  t.equal(ask('n1.node.consul', 'ANY').answers.length, 4)
  t.equal(ask('n9.node.consul').rcode, 'NXDOMAIN')
  t.end()
})

t.test('addresses in hex', (t) => {
  t.same(data('7f000001.addr.dc1.consul'), ['127.0.0.1'])
  t.same(data('fd000000000000000000000000000005.addr.dc1.consul', 'AAAA'), ['fd00::5'])
  t.same(ask('7f000001.addr.dc1.consul', 'AAAA').rcode, 'NOERROR')
  t.equal(ask('xyz.addr.dc1.consul').rcode, 'NXDOMAIN')
  fc.assert(fc.property(fc.ipV4(), (ip) => hexToAddress(addressToHex(ip) ?? '') === ip))
  fc.assert(
    fc.property(fc.ipV6(), (ip) => {
      const hex = addressToHex(ip) ?? ''
      return hex.length === 32 && addressToHex(hexToAddress(hex) ?? '') === hex
    }),
  )
  t.equal(addressToHex('::ffff:1.2.3.4'), '00000000000000000000ffff01020304')
  t.end()
})

t.test('the zone itself', (t) => {
  const soa = {
    type: 'SOA',
    data: {
      mname: 'ns.consul',
      rname: 'hostmaster.consul',
      serial: 42,
      refresh: 3600,
      retry: 600,
      expire: 86400,
      minimum: 0,
    },
  }
  t.match(ask('consul', 'SOA').answers, [soa])
  const ns = ask('constellation', 'NS')
  t.match(ns.answers, [{ data: 'n1.node.dc1.constellation' }, { data: 'n2.rack.node.dc1.constellation' }])
  t.equal(ns.answers.length, 2, 'no failed node')
  t.match(ns.additionals, [
    { type: 'A', data: '10.0.0.1' },
    { type: 'AAAA', data: 'fd00::2' },
  ])
  t.equal(ask('consul', 'ANY').answers.length, 3)
  t.end()
})

t.test('no such name, no such type, not ours', (t) => {
  const soa = [{ type: 'SOA', name: 'consul' }]
  const missing = [
    'db.service.consul',
    'none.service.consul',
    'web.service.dc2.consul',
    'x.query.consul',
    'web.connect.consul',
    'foo.consul',
  ]
  for (const name of missing) {
    t.match(ask(name), { rcode: 'NXDOMAIN', answers: [], authorities: soa, authoritative: true }, name)
  }
  const nodata: readonly [string, string][] = [
    ['web.service.consul', 'AAAA'],
    ['web.service.consul', 'MX'],
    ['n1.node.consul', 'SRV'],
    ['consul', 'A'],
    // Names on the way to others: a resolver that asks label by label must not be turned back.
    ['service.consul', 'A'],
    ['node.dc1.consul', 'A'],
    ['dc1.consul', 'A'],
    ['_tcp.service.consul', 'A'],
    ['rack.node.consul', 'A'],
  ]
  for (const [name, type] of nodata) {
    t.match(ask(name, type), { rcode: 'NOERROR', answers: [], authorities: soa, authoritative: true }, name)
  }
  for (const name of ['example.com', 'notconsul', '.', 'consul.example']) {
    t.match(ask(name), { rcode: 'REFUSED', answers: [], authorities: [], authoritative: false }, name)
  }
  t.equal(ask('consul', 'TYPE252').rcode, 'NOTIMP', 'AXFR')
  const chaos = { name: 'consul', type: 'TXT', class: 3 }
  t.equal(new DnsView(catalog, zone, () => 0).answer(chaos).rcode, 'REFUSED')
  t.end()
})

t.test('one copy of a service: by the name of its node', (t) => {
  for (const name of [
    'web.service.n1.node.consul',
    'WEB.service.N1.node.dc1.consul',
    'web.node.n1.consul',
    'web.service.node.n1.dc1.consul',
    'blue.web.service.n1.node.consul',
    'v1.2.web.node.n1.consul',
    '_web._tcp.n1.node.consul',
    '_web._blue.service.n1.node.consul',
    '_web._tcp.node.n1.consul',
    'web.n1.constellation',
    'web.n1.dc1.constellation',
  ]) {
    t.same(data(name), ['10.0.0.1'], name)
  }
  t.same(data('web.service.n2.rack.node.consul'), ['10.1.0.2'], 'a node with a dot in its name')
  t.same(data('web.n2.rack.constellation'), ['10.1.0.2'])
  t.match(data('web.service.n1.node.consul', 'SRV'), [{ port: 80, target: 'n1.node.dc1.consul' }])
  for (const name of [
    'web.service.n3.node.consul',
    'green.web.service.n1.node.consul',
    'none.service.n1.node.consul',
    'web.service.n9.node.consul',
    'web.n1.consul',
  ]) {
    t.equal(ask(name).rcode, 'NXDOMAIN', name)
  }
  for (const name of ['service.n1.node.consul', 'node.n1.consul', 'n1.constellation', 'rack.constellation']) {
    t.match(ask(name), { rcode: 'NOERROR', answers: [] }, `${name} is above names`)
  }
  t.end()
})

t.test('short names, under the domain of the configuration only', (t) => {
  t.same(data('web.constellation'), ['10.0.0.1', '10.1.0.2'])
  t.same(data('web.dc1.constellation'), ['10.0.0.1', '10.1.0.2'])
  t.equal(ask('web.consul').rcode, 'NXDOMAIN')
  t.equal(ask('db.constellation').rcode, 'NXDOMAIN')
  t.end()
})

t.test('a service whose name has dots', (t) => {
  const dotted = new FakeCatalog([
    { name: 'n1', address: '10.0.0.1', services: [{ name: 'api.v2', tags: ['a.b'] }] },
  ])
  const view = new DnsView(dotted, zone, () => 0)
  const rcodes = ['api.v2.service.consul', 'a.b.api.v2.service.consul', 'api.v2.constellation']
  for (const name of rcodes) t.equal(view.answer({ name, type: 'A', class: 1 }).answers.length, 1, name)
  for (const name of ['v2.service.consul', 'b.api.v2.service.consul'])
    t.match(view.answer({ name, type: 'A', class: 1 }), { rcode: 'NOERROR', answers: [] }, name)
  t.end()
})

t.test('services whose names differ in case only are one name', (t) => {
  const spelt = new FakeCatalog([
    { name: 'n1', address: '10.0.0.1', services: [{ name: 'Case', tags: ['a'] }] },
    { name: 'n2', address: '10.0.0.2', services: [{ name: 'case', tags: ['A', 'b'] }] },
    { name: 'n3', address: '10.0.0.3', services: [{ name: 'CASE', status: 'critical' }] },
  ])
  const view = new DnsView(spelt, zone, () => 0.999)
  const data = (name: string) => view.answer({ name, type: 'A', class: 1 }).answers.map(({ data }) => data)
  for (const name of ['case.service.consul', 'Case.service.consul', 'CASE.constellation'])
    t.same(data(name).toSorted(), ['10.0.0.1', '10.0.0.2'], name)
  t.same(data('a.case.service.consul').toSorted(), ['10.0.0.1', '10.0.0.2'])
  t.same(data('b.Case.service.consul'), ['10.0.0.2'])
  t.same(data('case.service.n1.node.consul'), ['10.0.0.1'])
  t.match(view.answer({ name: 'case.service.n3.node.consul', type: 'A', class: 1 }), {
    rcode: 'NXDOMAIN',
    reason: { text: /of 3$/ },
  })
  t.end()
})

t.test('from an address to a name', (t) => {
  t.same(data('1.0.0.10.in-addr.arpa', 'PTR'), ['n1.node.dc1.constellation'])
  t.same(data('2.0.1.10.IN-ADDR.ARPA', 'ANY'), ['web.service.dc1.constellation'], 'of a service')
  const six = `2.${'0.'.repeat(27)}0.0.d.f.ip6.arpa`
  t.same(data(six, 'PTR'), ['n2.rack.node.dc1.constellation'])
  t.match(ask('1.0.0.10.in-addr.arpa', 'A'), { rcode: 'NOERROR', answers: [] })
  t.match(ask('9.9.9.9.in-addr.arpa', 'PTR'), {
    rcode: 'NXDOMAIN',
    authorities: [{ type: 'SOA' }],
    elsewhere: true,
  })
  for (const name of ['0.10.in-addr.arpa', '256.0.0.10.in-addr.arpa', '01.0.0.10.in-addr.arpa', 'f.ip6.arpa'])
    t.match(ask(name, 'PTR'), { rcode: 'NOERROR', answers: [] }, name)
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (ip) => {
      const hex = addressToHex(ip) ?? ''
      return reverseAddress(reverseName(hex).toUpperCase()) === hex
    }),
  )
  t.end()
})

t.test('name servers', (t) => {
  t.same(data('ns.consul'), ['10.0.0.1'])
  t.same(data('ns.constellation', 'AAAA'), ['fd00::2'])
  t.end()
})

t.test('only agents with an IP address are name servers', (t) => {
  const nodes = new FakeCatalog([
    { name: 'a-printer', address: '10.0.0.8', declared: true },
    { name: 'b', address: 'b.example.net' },
    { name: 'c', address: '10.0.0.3' },
  ])
  const view = new DnsView(nodes, zone, () => 0)
  const ask = (name: string, type: string) => view.answer({ name, type, class: 1 }).answers
  t.match(ask('consul', 'NS'), [{ data: 'c.node.dc1.consul' }])
  t.equal(ask('consul', 'NS').length, 1, 'a name server has no alias (RFC 2181 §10.3)')
  t.match(ask('ns.consul', 'A'), [{ data: '10.0.0.3' }])
  t.match(ask('a-printer.node.consul', 'A'), [{ data: '10.0.0.8' }])
  t.end()
})

t.test('only passing instances, if so wished', (t) => {
  const onlyPassing = { onlyPassing: true }
  t.same(ask('web.service.consul', 'A', 0.999, onlyPassing).answers.length, 1)
  t.equal(ask('green.web.service.consul', 'A', 0.999, onlyPassing).rcode, 'NXDOMAIN')
  t.end()
})

t.test('how long answers may be kept', (t) => {
  const ttls = { node: 7, service: { '*': 1, 'w*': 2, 'we*': 3, Six: 4, 'six*': 5 }, negative: 9 }
  const ttl = (name: string, type = 'A') =>
    ask(name, type, 0.999, { ttls }).answers.map((record) => record.ttl)[0]
  t.equal(ttl('web.service.consul'), 3)
  t.equal(ttl('web.service.consul', 'SRV'), 3)
  t.equal(ttl('six.service.consul', 'AAAA'), 4, 'the name itself before a prefix')
  t.equal(ttl('dual.service.consul'), 1)
  t.equal(ttl('n1.node.consul'), 7)
  t.equal(ttl('1.0.0.10.in-addr.arpa', 'PTR'), 7)
  t.match(ask('web.service.consul', 'SRV', 0.999, { ttls }).additionals, [{ ttl: 7 }, { ttl: 3 }])
  t.match(ask('none.service.consul', 'A', 0.999, { ttls }).authorities, [{ ttl: 9, data: { minimum: 9 } }])
  t.end()
})

t.test('at most so many addresses, others each time', (t) => {
  t.same(ask('web.service.consul', 'A', 0.999, { addressesMax: 1 }).answers.length, 1)
  t.not(
    ask('web.service.consul', 'A', 0.999, { addressesMax: 1 }).answers[0]?.data,
    ask('web.service.consul', 'A', 0, { addressesMax: 1 }).answers[0]?.data,
  )
  t.end()
})

t.test('an alias is followed while it leads to names of the zone', (t) => {
  const aliased = new FakeCatalog([
    {
      name: 'n1',
      address: '10.0.0.1',
      services: [
        { name: 'web' },
        { name: 'one', address: 'web.service.consul.' },
        { name: 'two', address: 'one.service.consul' },
        { name: 'out', address: 'db.example.net' },
        { name: 'far', address: 'out.service.consul' },
        { name: 'loop', address: 'loop.service.consul' },
        { name: 'ring', address: 'Ring2.service.consul' },
        { name: 'ring2', address: 'ring.service.consul' },
        { name: 'lost', address: 'none.service.consul' },
      ],
    },
  ])
  const view = new DnsView(aliased, zone, () => 0)
  const follow = (service: string) => view.answer({ name: `${service}.service.consul`, type: 'A', class: 1 })
  t.same(
    follow('two').answers.map(({ type, data }) => `${type} ${data}`),
    ['CNAME one.service.consul', 'CNAME web.service.consul', 'A 10.0.0.1'],
  )
  t.match(follow('far'), { aliasOf: 'db.example.net', answers: [{ type: 'CNAME' }, { type: 'CNAME' }] })
  const lines = (service: string) => follow(service).answers.map(({ name, data }) => `${name} ${data}`)
  t.same(lines('loop'), ['loop.service.consul loop.service.consul'], 'a circle is left')
  t.same(lines('RING'), [
    'RING.service.consul Ring2.service.consul',
    'Ring2.service.consul ring.service.consul',
  ])
  t.match(follow('lost'), { rcode: 'NOERROR', answers: [{ type: 'CNAME' }] })
  t.end()
})

t.test('a node whose address is a name: an alias, and beside it nothing', (t) => {
  const view = new DnsView(
    new FakeCatalog([{ name: 'ext', address: 'db.example.net', meta: { zone: 'a' } }]),
    zone,
    () => 0,
  )
  const types = (type: string) =>
    view.answer({ name: 'ext.node.consul', type, class: 1 }).answers.map((record) => record.type)
  t.same(types('ANY'), ['CNAME'], 'RFC 1034 §3.6.2')
  t.same(types('A'), ['CNAME'])
  t.same(types('TXT'), ['TXT'], 'who asks for its meta gets it')
  t.end()
})

t.test('SRV: the addresses of a target that is a name of the zone come along', (t) => {
  const aliased = new FakeCatalog([
    {
      name: 'n1',
      address: '10.0.0.1',
      services: [
        { name: 'web' },
        { name: 'dual', taggedAddresses: { lan_ipv6: { address: 'fd00::1', port: 80 } } },
        { name: 'one', address: 'Web.service.consul.' },
        { name: 'two', address: 'one.service.constellation' },
        { name: 'both', address: 'dual.service.consul' },
        { name: 'out', address: 'db.example.net' },
        { name: 'far', address: 'out.service.consul' },
        { name: 'loop', address: 'loop.service.consul' },
        { name: 'lost', address: 'none.service.consul' },
      ],
    },
    {
      name: 'n2',
      address: '10.0.0.2',
      services: [{ name: 'one', address: 'Web.service.consul.', port: 81 }],
    },
  ])
  const view = new DnsView(aliased, zone, () => 0)
  const additionals = (service: string) => {
    const { answers, additionals } = view.answer({ name: `${service}.service.consul`, type: 'SRV', class: 1 })
    t.ok(answers.length > 0 && answers.every(({ type }) => type === 'SRV'), service)
    return additionals.map(({ name, type, data }) => `${name} ${type} ${data}`)
  }
  t.same(additionals('one'), ['Web.service.consul A 10.0.0.1'], 'once for two instances')
  t.same(additionals('two'), [
    'one.service.constellation CNAME Web.service.consul',
    'Web.service.consul A 10.0.0.1',
  ])
  t.same(additionals('both'), ['dual.service.consul A 10.0.0.1', 'dual.service.consul AAAA fd00::1'])
  for (const service of ['out', 'far', 'loop', 'lost']) t.same(additionals(service), [], service)
  t.end()
})

t.test('why there is no answer', (t) => {
  t.match(ask('db.service.consul').reason, { code: 0, text: 'no instance of db is healthy, of 1' })
  t.equal(ask('none.service.consul').reason, undefined)
  t.match(ask('example.com'), { rcode: 'REFUSED', reason: { code: 20 }, elsewhere: true })
  t.end()
})

t.test('a node that has not exchanged its catalogue yet does not say that a name does not exist', (t) => {
  const fresh = new FakeCatalog([{ name: 'n1', address: '10.0.0.1', services: [{ name: 'web' }] }])
  fresh.synced = false
  const view = new DnsView(fresh, zone, () => 0)
  const rcode = (name: string) => view.answer({ name, type: 'A', class: 1 }).rcode
  t.equal(rcode('none.service.consul'), 'SERVFAIL')
  t.equal(rcode('n2.node.consul'), 'SERVFAIL')
  t.equal(view.answer({ name: '9.0.0.10.in-addr.arpa', type: 'PTR', class: 1 }).rcode, 'SERVFAIL')
  t.equal(rcode('web.service.consul'), 'NOERROR')
  t.equal(rcode('service.consul'), 'NOERROR')
  const declaring = new DnsView(
    fresh,
    zone,
    () => 0,
    () => false,
  )
  fresh.synced = true
  t.equal(
    declaring.answer({ name: 'nope.service.consul', type: 'A', class: 1 }).rcode,
    'SERVFAIL',
    'what is declared is not known yet',
  )
  t.equal(rcode('none.service.consul'), 'NXDOMAIN')
  t.end()
})

t.test('a name of many labels is not dear', (t) => {
  const labels = (word: string) => `${`${word}.`.repeat(30)}node.consul`
  const started = process.cpuUsage()
  for (let i = 0; i < 1_000; i++) {
    for (const word of ['service', 'node', 'x', '_x']) ask(labels(word))
  }
  const { user } = process.cpuUsage(started)
  t.ok(user < 4_000_000, `${user / 4_000} µs a name`)
  t.end()
})
