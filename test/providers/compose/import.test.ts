import t from 'tap'
import { parse } from 'yaml'
import { outsideCheck } from '../../../providers/compose/health-test.ts'
import { importProject } from '../../../providers/compose/import.ts'
import { lintProject } from '../../../providers/compose/lint.ts'
import { loadProject } from '../../../providers/compose/project.ts'

const run = async (yaml: string) => {
  const read = async (path: string) => (path === 'shop/compose.yaml' ? yaml : null)
  const project = await loadProject(['shop/compose.yaml'], { read, env: {} })
  const report = lintProject(project, {
    node: 'n1',
    address: '10.0.0.1',
    exposeByDefault: true,
    routableNetworks: new Set(),
    mayRestart: false,
    mayRunOnce: false,
    traefik: null,
  })
  return importProject(report)
}

t.test('ports of containers become those of the host, also in labels', async (t) => {
  const { yaml, names, notes } = await run(`
services:
  web:
    ports: ["8080:80", "9443:443"]
    healthcheck: { test: [CMD, curl, -fs, "http://localhost/health?full=1"], interval: 5s, timeout: 2s }
    labels:
      traefik.http.routers.web.rule: Host(\`web.example.com\`)
      traefik.http.services.web.loadbalancer.server.port: "80"
      traefik.http.services.tls.loadbalancer.servers[0].port: "443"
      traefik.tcp.services.gone.loadbalancer.server.port: "1"
      constellation.port: "80"
      constellation.tier: "1"
      constellation.tags: a,b
      constellation.meta.team: x
      constellation.restart: on-unhealthy`)
  t.same(names, ['web-shop'])
  t.match(yaml, /^# Services of the Compose project shop\.\n\nservices:\n {2}# shop\/compose\.yaml:3\n/)
  t.same(parse(yaml), {
    services: [
      {
        name: 'web-shop',
        id: 'web-shop',
        port: 8080,
        tags: ['a', 'b'],
        meta: { team: 'x' },
        labels: {
          'constellation.tier': '1',
          'traefik.http.routers.web.rule': 'Host(`web.example.com`)',
          'traefik.http.services.tls.loadbalancer.servers[0].port': '9443',
          'traefik.http.services.web.loadbalancer.server.port': '8080',
        },
        checks: [
          {
            name: '/health?full=1 answers',
            http: 'http://127.0.0.1:8080/health?full=1',
            interval: '5s',
            timeout: '2s',
          },
        ],
      },
    ],
  })
  t.match(notes, [
    /^web: traefik\.tcp\.services\.gone\.loadbalancer\.server\.port=1 is left out: there is no such port/,
  ])
})

t.test('what cannot be taken over is said', async (t) => {
  const { yaml, names, notes } = await run(`
services:
  a: { ports: ["80"] }
  b: { expose: [80] }
  c: { image: x }
  d: { ports: ["1000-1010:80"] }
  e: { ports: ["81:80"], labels: [constellation.enable=false] }
  f: { ports: ["82:80"], scale: 2, healthcheck: { test: "/bin/am-i-well" } }
  g: { ports: ["53:53/udp"], healthcheck: { test: "curl http://localhost/" } }
  h: { ports: ["84:80"], healthcheck: { disable: true } }`)
  t.same(names, ['f-shop', 'g-shop', 'h-shop'])
  t.match(notes, [
    /^a is left out: Docker chooses its port 80 at each start/,
    /^b is left out: port 80\/tcp is not published/,
    /^c is left out: no port of it is published/,
    /^d is left out: Docker chooses its port 80/,
    /^e is left out: its labels say so/,
    /^f has 2 copies, of which one is taken over/,
    /^f: its health check \(\/bin\/am-i-well\) cannot be run from outside; port 82 is checked instead/,
  ])
  t.match(parse(yaml), {
    services: [{ checks: [{ tcp: '127.0.0.1:82', interval: '30s', timeout: '10s' }] }, {}, {}],
  })
  t.notMatch(yaml, /udp|curl/)
})

t.test('what a command of a health check looks at', async (t) => {
  const shell = (command: string) => outsideCheck(['CMD-SHELL', command])
  const http = (port: number, path: string, scheme = 'http') => ({ kind: 'http', scheme, port, path })
  const tcp = (port: number) => ({ kind: 'tcp', port })
  const cases: readonly (readonly [command: string, check: unknown])[] = [
    ['curl -f http://localhost || exit 1', http(80, '/')],
    ['curl --fail -s http://127.0.0.1:3000/api/health', http(3000, '/api/health')],
    ['wget -qO- "http://localhost:8080/ping" || exit 1', http(8080, '/ping')],
    ["curl -k 'https://[::1]/x'", http(443, '/x', 'https')],
    ['curl -f http://other:80/', null],
    ['curl -f http://localhost.evil/', null],
    ['echo http://localhost/', null],
    ['nc -z localhost 5432', tcp(5432)],
    ['nc -zv 127.0.0.1 6379 || exit 1', tcp(6379)],
    ['pg_isready -U postgres', tcp(5432)],
    ['pg_isready -U postgres -p 5433', tcp(5433)],
    ['mysqladmin ping -h localhost --port=3307', tcp(3307)],
    ['redis-cli ping', tcp(6379)],
    ['redis-cli info', null],
    ['true', null],
  ]
  for (const [command, check] of cases) t.same(shell(command), check, command)
  t.same(outsideCheck(['CMD', 'wget', '--spider', 'http://localhost:1/']), http(1, '/'))
})
