import t from 'tap'
import { readPort } from '../../../providers/compose/ports.ts'
import { readTree } from '../../../providers/compose/tree.ts'

const read = (yaml: string) => readPort(readTree('f.yml', yaml, () => undefined).tree)
const short = (yaml: string) => {
  const entry = read(yaml)
  if (!('ports' in entry)) return entry.problem
  return entry.ports.map(
    ({ hostIp, published, publishedLast, target, protocol }) =>
      `${hostIp}|${published ?? '*'}${publishedLast === published ? '' : `-${publishedLast}`}|${target}/${protocol}`,
  )
}

t.test('the short form', async (t) => {
  const cases: readonly (readonly [yaml: string, ...ports: string[]])[] = [
    ['"3000"', '|*|3000/tcp'],
    ['3000', '|*|3000/tcp'],
    ['"8080:80"', '|8080|80/tcp'],
    ['"53:53/udp"', '|53|53/udp'],
    ['"127.0.0.1:8001:8001"', '127.0.0.1|8001|8001/tcp'],
    ['"127.0.0.1::80"', '127.0.0.1|*|80/tcp'],
    ['"[::1]:6001:6002"', '::1|6001|6002/tcp'],
    ['"9090-9091:8080-8081"', '|9090|8080/tcp', '|9091|8081/tcp'],
    ['"3000-3001"', '|*|3000/tcp', '|*|3001/tcp'],
    ['"9090-9099:80"', '|9090-9099|80/tcp'],
  ]
  for (const [yaml, ...ports] of cases) t.same(short(yaml), ports, yaml)
})

t.test('the long form', async (t) => {
  t.same(short('{ target: 80, published: "8080", host_ip: 127.0.0.1, protocol: tcp, mode: host }'), [
    '127.0.0.1|8080|80/tcp',
  ])
  t.same(short('{ target: 80, published: 8080-8090 }'), ['|8080-8090|80/tcp'])
  t.same(short('{ target: 53, protocol: udp }'), ['|*|53/udp'])
})

t.test('what is no port says so, with its place', async (t) => {
  const cases: readonly (readonly [yaml: string, problem: RegExp])[] = [
    ['"80:x"', /"80:x" has a container port that is none/],
    ['"x:80"', /"x:80" has a host port that is none/],
    ['"0"', /container port that is none/],
    ['"70000:80"', /host port that is none/],
    ['"10.0.0.256:80:80"', /no IP address/],
    ['"80/sctp"', /neither tcp nor udp/],
    ['"1-3:1-2"', /different lengths/],
    ['"a:b:c:d"', /./],
    ['{ published: 80 }', /no target/],
    ['{ target: 80, protocol: icmp }', /neither tcp nor udp/],
    ['{ target: 80, host_ip: here }', /no IP address/],
    ['[1]', /neither a text nor a mapping/],
    ['~', /neither a text nor a mapping/],
  ]
  for (const [yaml, problem] of cases) t.match(short(yaml), problem, yaml)
  t.match(read('\n\n"x"'), { where: 'f.yml:3' })
})
