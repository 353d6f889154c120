import t from 'tap'
import {
  advertisedHost,
  formatAddress,
  multiaddrToAddress,
  parseAddress,
  toMultiaddr,
} from '../../../discovery/mesh/address.ts'

t.test('addresses are read and written the same way', async (t) => {
  for (const text of ['10.0.0.1:7946', 'host.example:1', '[::1]:65535']) {
    t.equal(formatAddress(parseAddress(text)), text)
  }
})

t.test('what is not an address is refused by name', async (t) => {
  for (const text of [
    '',
    'host',
    'host:',
    'host:0',
    'host:65536',
    '::1:80',
    '[host]:80',
    'a b:80',
    '/ip4/1:2',
  ]) {
    t.throws(() => parseAddress(text), { code: 'MSH_UNREACHABLE', message: `"${text}"` }, text)
  }
})

t.test('multiaddrs keep host and port', async (t) => {
  t.equal(multiaddrToAddress(toMultiaddr('10.0.0.1', 80)), '10.0.0.1:80')
  t.equal(multiaddrToAddress(toMultiaddr('fd00::1', 80)), '[fd00::1]:80')
})

t.test('a wildcard is advertised as the first outside address', async (t) => {
  const entry = (address: string, family: 'IPv4' | 'IPv6', internal: boolean) =>
    ({ address, family, internal, netmask: '', mac: '', cidr: null, scopeid: 0 }) as never
  const interfaces = {
    lo: [entry('127.0.0.1', 'IPv4', true)],
    eth0: [
      entry('fe80::1', 'IPv6', false),
      entry('fd00::2', 'IPv6', false),
      entry('10.0.0.2', 'IPv4', false),
    ],
  }
  t.equal(advertisedHost('0.0.0.0', interfaces), '10.0.0.2')
  t.equal(advertisedHost('::', interfaces), '10.0.0.2')
  t.equal(advertisedHost('::', { eth0: [entry('fd00::2', 'IPv6', false)] }), 'fd00::2')
  t.equal(advertisedHost('0.0.0.0', { lo: [entry('127.0.0.1', 'IPv4', true)] }), '127.0.0.1')
  t.equal(advertisedHost('192.0.2.1', interfaces), '192.0.2.1')
})
