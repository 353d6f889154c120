import type { RecordType } from 'dns-packet'
import fc from 'fast-check'
import t from 'tap'
import { addressToHex, hexToAddress } from '../../../discovery/dns/address.ts'
import { answer } from '../../../discovery/dns/answer.ts'
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
const zone = { domains: ['constellation', 'consul'], datacenter: 'dc1' }
const ask = (name: string, type: RecordType | 'ANY' = 'A', random = 0.999) =>
  answer({ name, type: type as RecordType }, catalog, zone, () => random)
const data = (name: string, type: RecordType | 'ANY' = 'A') =>
  ask(name, type).answers.map((record) => ('data' in record ? record.data : null))

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
    ask('web.service.consul', 'A', 0).answers.map((record) => ('data' in record ? record.data : '')),
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
    answers.map((record) => ('data' in record ? record.data : null)),
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
  const texts = ask('n1.node.consul', 'TXT').answers.map((record) =>
    'data' in record && Array.isArray(record.data) ? record.data.map(String) : [],
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
  const nodata: readonly [string, RecordType][] = [
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
  t.equal(ask('consul', 'AXFR').rcode, 'NOTIMP')
  t.equal(answer({ name: 'consul', type: 'TXT', class: 'CH' }, catalog, zone, () => 0).rcode, 'REFUSED')
  t.end()
})
