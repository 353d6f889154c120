import t from 'tap'
import { type LintOptions, lintProject } from '../../../providers/compose/lint.ts'
import { loadProject } from '../../../providers/compose/project.ts'

const defaults: LintOptions = {
  node: 'n1',
  address: '10.0.0.1',
  exposeByDefault: false,
  routableNetworks: new Set(),
  mayRestart: true,
  mayRunOnce: true,
  traefik: { entryPoints: [] },
}
const lint = async (yaml: string, options: Partial<LintOptions> = {}) => {
  const read = async (path: string) => (path === 'shop/compose.yaml' ? yaml : null)
  const project = await loadProject(['shop/compose.yaml'], { read, env: {} })
  return lintProject(project, { ...defaults, ...options })
}
/** One line for each finding: `line severity service message`. */
const findings = async (yaml: string, options: Partial<LintOptions> = {}) => {
  const { findings: found } = await lint(yaml, options)
  return found.map(({ severity, where, service, message }) => {
    return `${where.split(':').at(-1)} ${severity} ${service} ${message}`
  })
}

t.test('what is published, from where, and with which routers', async (t) => {
  const {
    project,
    services,
    findings: found,
  } = await lint(`
services:
  web:
    ports: ["8080:80"]
    labels:
      traefik.enable: "true"
      traefik.http.routers.web.rule: Host(\`web.example.com\`)
      traefik.http.routers.web.entrypoints: websecure
  quiet: { ports: ["81:81"] }`)
  t.same(found, [])
  t.equal(project, 'shop')
  const [web, quiet] = services
  t.match(web, {
    service: 'web-shop',
    where: 'shop/compose.yaml:3',
    endpoints: [{ name: '80/tcp', address: '10.0.0.1', port: 8080 }],
    routes: [
      {
        protocol: 'http',
        router: 'web',
        rule: 'Host(`web.example.com`)',
        entryPoints: ['websecure'],
        service: 'web-shop',
      },
    ],
  })
  t.match(quiet, { service: null, reason: /does not say constellation\.enable=true/, routes: [] })
  const open = await lint('services: { quiet: { ports: ["81:81"] } }', {
    exposeByDefault: true,
    traefik: null,
  })
  t.match(open.services, [{ service: 'quiet-shop', routes: [] }])
})

t.test('what Docker or Traefik would not take has the line of its label', async (t) => {
  const suggest = () => 'tier'
  t.match(
    await findings(
      `
services:
  web:
    ports: ["8080:80"]
    labels:
      - constellation.enable=true
      - constellation.teir=1
      - constellation.weight=many
      - traefik.http.routers.web.midlewares=x
  other:
    ports: ["8081:80"]
    labels:
      - traefik.enable=true
      - traefik.http.routers.web.rule=Host(\`b\`)
      - traefik.http.routers.web.middlewares=gone`,
      { suggest },
    ),
    [
      /^7 error web constellation\.teir .*constellation\.tier/,
      /^8 error web constellation\.weight must be a whole number/,
      /^9 error web traefik\.http\.routers\.web\.midlewares has no field "midlewares".*None of its labels are used/,
      /^14 warning other .*gone/,
    ],
  )
})

t.test('what others cannot reach', async (t) => {
  t.match(
    await findings(`
services:
  unpublished: { expose: ["3000"], labels: [constellation.enable=true] }
  loopback: { ports: ["127.0.0.1:81:80"], labels: [constellation.enable=true] }
  second:
    ports: ["82:80"]
    expose: [9000]
    labels: [constellation.enable=true, constellation.port=80]
  unknown: { image: x, labels: [constellation.enable=true] }
  sidecar: { network_mode: "service:second", labels: [constellation.enable=true, constellation.port=80] }`),
    [
      /^3 error unpublished port 3000\/tcp is not published/,
      /^4 error loopback port 80\/tcp is published on 127\.0\.0\.1:81, which is for its own host only/,
      /^5 note second port 9000\/tcp is not published.*not its main port/,
      /^9 warning unknown no port is known/,
    ],
  )
  const routable = await lint(
    `
networks: { mesh: { name: overlay, external: true }, own: {} }
services:
  a: { expose: [80], networks: [mesh], labels: [constellation.enable=true] }
  b: { expose: [80], networks: [own], labels: [constellation.enable=true] }
  c: { expose: [80], labels: [constellation.enable=true] }`,
    { routableNetworks: new Set(['overlay', 'shop_own', 'shop_default']) },
  )
  t.same(
    routable.services.map(({ endpoints }) => endpoints[0]?.problem),
    [undefined, undefined, undefined],
  )
})

t.test('what is wrong with the stack itself', async (t) => {
  t.match(
    await findings(`
services:
  a:
    ports: ["80:80"]
    scale: 2
    container_name: one
    labels:
      - "traefik.enable = true"
      - "traefik.enable: true"
    deploy: { labels: [traefik.enable=true, other=1] }
  b: { ports: ["127.0.0.1:80:80", "9000", "9100-9110:90", "x"], profiles: [debug] }
  c: { ports: ["127.0.0.1:80:80"], scale: 1 }
  d: { ports: ["127.0.0.2:80:80"], scale: 0, image: "x:$TAG" }`),
    [
      /^3 error a container_name can belong to one container, but there are to be 2/,
      /^4 error a only one of 2 copies gets port 80/,
      /^8 error a the name of the label "traefik\.enable " has spaces around it: write traefik\.enable=true$/,
      /^9 error a "traefik\.enable: true" is one text: in a list write name=value/,
      /^10 error a deploy\.labels are on the service of a swarm, not on its containers: move traefik\.enable to labels/,
      /^11 error b the port "x" has a container port that is none/,
      /^11 note b it is started only with --profile debug/,
      /^11 note b Docker chooses the port for 9000 at each start/,
      /^11 note b Docker chooses the port for 90 from 9100-9110/,
      /^12 error c port 80\/tcp of the host is published by a already/,
      /^13 warning {2}the variable TAG is not set/,
      /^13 note d it is scaled to 0/,
    ],
  )
})
