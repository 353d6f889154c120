import t from 'tap'
import { parseFileService } from '../../../agent/service-files/definition.ts'
import { CONFIG } from '../http/harness.ts'

const SOURCE = { kind: 'file', id: '/etc/services/web.yaml', name: 'web.yaml' } as const
const parse = (definition: Record<string, unknown>) => parseFileService(definition, SOURCE, CONFIG.checks)

t.test('every field, in snake_case and CamelCase', async (t) => {
  const { service, checks } = parse({
    id: 'web-1',
    name: 'web',
    tags: ['v1'],
    address: '10.0.0.9',
    port: 8080,
    meta: { version: '3' },
    weights: { passing: 10, warning: 2 },
    enable_tag_override: true,
    tagged_addresses: { lan: { address: '10.1.0.9', port: 1 } },
    labels: {
      'traefik.enable': true,
      'constellation.weight': 3,
      'traefik.http.routers.web.rule': 'Host(`x`)',
    },
    checks: [
      { http: 'http://localhost/', interval: '10s', tls_skip_verify: true, failures_before_critical: 3 },
      { CheckID: 'beat', TTL: '1m', DeregisterCriticalServiceAfter: '10m' },
      { alias_service: 'db' },
    ],
  })
  t.same(service, {
    id: 'web-1',
    name: 'web',
    tags: ['v1'],
    address: '10.0.0.9',
    port: 8080,
    meta: { version: '3' },
    weights: { passing: 10, warning: 2 },
    enableTagOverride: true,
    taggedAddresses: { lan: { address: '10.1.0.9', port: 1 } },
    labels: {
      'traefik.enable': 'true',
      'constellation.weight': '3',
      'traefik.http.routers.web.rule': 'Host(`x`)',
    },
    source: SOURCE,
  })
  t.match(checks, [
    {
      id: 'service:web-1:1',
      kind: { type: 'http', tlsSkipVerify: true },
      thresholds: { failuresBeforeCritical: 3 },
    },
    { id: 'beat', kind: { type: 'ttl', ttlMs: 60_000 }, deregisterAfterMs: 600_000 },
    { kind: { type: 'alias', service: 'db' } },
  ])
  t.match(parse({ Name: 'web', Labels: ['traefik.enable=true', 'a=b=c', 'd'] }).service.labels, {
    'traefik.enable': 'true',
    a: 'b=c',
    d: '',
  })
  t.notOk('labels' in parse({ name: 'web' }).service)
})

t.test('mistakes name the service and what is wrong', async (t) => {
  const wrong: [Record<string, unknown>, string | RegExp][] = [
    [{}, 'Missing service name'],
    [{ name: 'web', prot: 80 }, 'service "web": unknown field "prot"; did you mean "port"?'],
    [{ name: 'web', zzz: 80 }, 'service "web": unknown field "zzz"'],
    [
      { name: 'web', check: { htpp: 'x' } },
      'service "web": unknown field "htpp" of a check; did you mean "http"?',
    ],
    [{ id: 'w', name: 'web', port: '80' }, 'service "w": Port must be a whole number'],
    [{ name: 'web', meta: { version: 3 } }, 'service "web": Meta.version must be a string'],
    [{ name: 'web', check: { http: 'http://a/' } }, /^service "web": Invalid check: Interval must be > 0/],
    [{ name: 'web', check: { args: ['true'], interval: '1s' } }, /checks\.scripts/],
    [{ name: 'web', check: 'x' }, 'service "web": Check must be an object'],
    [{ name: 'web', labels: 'x' }, 'service "web": labels must be a mapping or a list'],
    [{ name: 'web', labels: { a: {} } }, 'service "web": labels.a must be text'],
    [{ name: 'web', labels: { a: 'x'.repeat(4_097) } }, /^service "web": .*labels\.a has 4097 characters/],
    [{ name: 'x'.repeat(300) }, /name has 300 characters|the id of a service has 300/],
  ]
  for (const [definition, message] of wrong) {
    t.throws(
      () => parse(definition),
      { code: 'FIL_INVALID', message },
      JSON.stringify(definition).slice(0, 80),
    )
  }
})
