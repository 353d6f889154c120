// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the syntax of Compose looks like it
import t from 'tap'
import { plain } from '../../../providers/compose/merge.ts'
import { loadProject } from '../../../providers/compose/project.ts'
import { readService } from '../../../providers/compose/service.ts'

const load = (
  files: Record<string, string>,
  env: Record<string, string> = {},
  names: readonly string[] = ['/srv/My App/compose.yml'],
) => loadProject(names, { read: async (path) => files[path] ?? null, env })
const root = '/srv/My App/compose.yml'
const service = async (yaml: string, env: Record<string, string> = {}, more: Record<string, string> = {}) => {
  const project = await load({ [root]: yaml, ...more }, env)
  const [entry] = project.services
  if (entry === undefined) throw new Error('no service')
  return readService(...entry)
}

t.test('the name of the project: the files, the environment, or the folder', async (t) => {
  const one = 'services: { web: { image: x } }'
  t.equal((await load({ [root]: one })).name, 'myapp')
  t.equal((await load({ [root]: `name: shop\n${one}` })).name, 'shop')
  t.equal((await load({ [root]: `name: shop\n${one}` }, { COMPOSE_PROJECT_NAME: 'other' })).name, 'other')
})

t.test('labels as a list and as a mapping, with variables from .env and the environment', async (t) => {
  const env = { '/srv/My App/.env': 'DOMAIN=file.example\nPORT=80 # the inner one\n' }
  const yaml = [
    'services:',
    '  web:',
    '    labels:',
    '      - traefik.enable=true',
    '      - traefik.http.routers.web.rule=Host(`web.${DOMAIN}`)',
    '      - traefik.http.services.web.loadbalancer.server.port=${PORT}',
    '      - traefik.http.middlewares.a.basicauth.users=me:$$apr1$$x',
    '      - bare',
  ].join('\n')
  const web = await service(yaml, {}, env)
  t.same(
    [...web.labels].map(([name, { value, where }]) => `${name}=${value} ${where.split(':').at(-1)}`),
    [
      'traefik.enable=true 4',
      'traefik.http.routers.web.rule=Host(`web.file.example`) 5',
      'traefik.http.services.web.loadbalancer.server.port=80 6',
      'traefik.http.middlewares.a.basicauth.users=me:$apr1$x 7',
      'bare= 8',
    ],
  )
  const other = await service(yaml, { DOMAIN: 'env.example' }, env)
  t.equal(other.labels.get('traefik.http.routers.web.rule')?.value, 'Host(`web.env.example`)')
  const mapping = await service('services: { web: { labels: { a: true, b: 1.5, c: null } } }')
  t.same(
    [...mapping.labels].map(([name, { value }]) => [name, value]),
    [
      ['a', 'true'],
      ['b', '1.5'],
      ['c', ''],
    ],
  )
})

t.test('a variable without a value is told with its place', async (t) => {
  const { unset } = await load({ [root]: 'services:\n  web:\n    image: "x:${TAG}"\n' })
  t.same(unset, [{ name: 'TAG', where: `${root}:3` }])
})

t.test('a later file adds to the ones before', async (t) => {
  const over = '/srv/My App/over.yml'
  const { services } = await load(
    {
      [root]: `
services:
  web: { image: a, labels: [x=1, y=1], ports: ["80:80"], command: [run, a], networks: [front] }
  gone: { image: b }`,
      [over]: `
services:
  web: { image: c, labels: { y: 2 }, ports: ["80:80", "81:81"], command: [go] }
  gone: !reset null
  more: { image: d, ports: !override ["1:1"] }`,
    },
    {},
    [root, over],
  )
  t.same(
    [...services].map(([name, tree]) => [name, plain(tree)]),
    [
      [
        'web',
        {
          image: 'c',
          labels: { x: '1', y: 2 },
          ports: ['80:80', '81:81'],
          command: ['go'],
          networks: ['front'],
        },
      ],
      ['more', { image: 'd', ports: ['1:1'] }],
    ],
  )
})

t.test('anchors, << and extends', async (t) => {
  const { services } = await load({
    [root]: `
x-base: &base { restart: always, labels: { a: 1 } }
include: [ other/db.yml, { path: cache.yml } ]
services:
  web: { <<: *base, image: w }
  api: { extends: web, image: p, labels: [b=2] }
  job: { extends: { file: common.yml, service: job }, image: j }`,
    '/srv/My App/other/db.yml': 'services: { db: { image: pg } }',
    '/srv/My App/cache.yml': 'services: { cache: { image: redis } }',
    '/srv/My App/common.yml': 'services: { base: { restart: "no" }, job: { extends: base, cpus: 1 } }',
  })
  t.same(Object.fromEntries([...services].map(([name, tree]) => [name, plain(tree)])), {
    db: { image: 'pg' },
    cache: { image: 'redis' },
    web: { restart: 'always', labels: { a: 1 }, image: 'w' },
    api: { restart: 'always', labels: { a: 1, b: '2' }, image: 'p' },
    job: { restart: 'no', cpus: 1, image: 'j' },
  })
})

t.test('what cannot be read names file and line', async (t) => {
  const refused = (files: Record<string, string>, message: RegExp) =>
    t.rejects(load(files), { code: 'CMP_UNREADABLE', message })
  await refused({}, /^there is no file \/srv\/My App\/compose\.yml$/)
  await refused({ [root]: 'services: {' }, /compose\.yml:1: not valid YAML/)
  await refused({ [root]: '[]' }, /compose\.yml:1: a Compose file is a mapping/)
  await refused({ [root]: 'services: 5' }, /compose\.yml:1: services is no mapping/)
  await refused({ [root]: 'services: {}' }, /there are no services/)
  await refused({ [root]: 'services:\n  web: 5' }, /compose\.yml:2: services\.web is no mapping/)
  await refused(
    { [root]: 'services:\n  web:\n    image: ${X:?why}' },
    /compose\.yml:3: .*X is required.*: why/,
  )
  await refused({ [root]: 'services:\n  web: *gone' }, /&gone|gone/)
  await refused({ [root]: 'include: [b.yml]' }, /no file \/srv\/My App\/b\.yml, which .*compose\.yml names/)
  await refused({ [root]: 'include: [compose.yml]\nservices: { a: {} }' }, /in a circle/)
  await refused({ [root]: 'services: { a: { extends: b }, b: { extends: a } }' }, /in a circle/)
  await refused({ [root]: 'services: { a: { extends: nobody } }' }, /there is no service nobody/)
  const bomb = `a: &a [x,x,x,x,x,x,x,x,x,x]\n${'bcdefgh'
    .split('')
    .map((c, i) => `${c}: &${c} [${Array.from({ length: 10 }, () => `*${'abcdefg'[i]}`).join(',')}]`)
    .join('\n')}\nservices: { web: { labels: *h } }`
  await refused({ [root]: bomb }, /nested too deep/)
})

t.test('what a service says', async (t) => {
  t.match(
    await service(`
services:
  web:
    image: nginx
    container_name: front
    network_mode: host
    scale: 3
    expose: ["3000", "4000/udp"]
    ports: ["80:80", "x:1"]
    restart: unless-stopped
    profiles: [debug]
    healthcheck: { test: "curl -f http://localhost/", interval: 5s, timeout: 2s }
    deploy: { labels: { traefik.enable: "true" }, replicas: 2 }`),
    {
      image: 'nginx',
      containerName: 'front',
      networkMode: 'host',
      replicas: 3,
      exposed: [3000, 4000],
      ports: [{ target: 80, published: 80 }],
      restart: 'unless-stopped',
      profiles: ['debug'],
      healthTest: ['CMD-SHELL', 'curl -f http://localhost/'],
      healthInterval: '5s',
      healthTimeout: '2s',
      swarmLabels: new Map([['traefik.enable', { value: 'true' }]]),
      problems: [{ where: `${root}:9`, message: 'the port "x:1" has a host port that is none' }],
    },
  )
  t.same((await service('services: { a: { healthcheck: { test: ["NONE"] } } }')).healthTest, [])
  t.same((await service('services: { a: { healthcheck: { disable: true } } }')).healthTest, [])
  t.same((await service('services: { a: { healthcheck: { test: [CMD, ls, "/"] } } }')).healthTest, [
    'CMD',
    'ls',
    '/',
  ])
  t.equal((await service('services: { a: { deploy: { replicas: 2 } } }')).replicas, 2)
  t.equal(await service('services: { a: ~ , b: {} }').catch((error) => error.code), 'CMP_UNREADABLE')
  t.same((await service('services: { a: { networks: { x: {}, y: ~ } } }')).networks, ['x', 'y'])
})
