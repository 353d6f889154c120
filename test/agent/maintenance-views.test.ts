import { pino } from 'pino'
import t from 'tap'
import { CatalogStore } from '../../discovery/catalog/store.ts'
import type { HealthCheck } from '../../discovery/catalog/types.ts'
import { DnsView } from '../../discovery/dns/answer.ts'
import { maintenanceCheck } from '../../discovery/health/maintenance.ts'
import { TraefikView } from '../../providers/traefik/view.ts'
import { FakeMembership, record, service } from '../discovery/catalog/fixtures.ts'
import { harness } from './http/harness.ts'

const log = pino({ level: 'silent' })
const ZONE = {
  domains: ['constellation'],
  datacenter: 'dc1',
  ttls: { node: 0, service: {}, negative: 0 },
  onlyPassing: false,
  addressesMax: 0,
}
const TAGS = ['traefik.enable=true', 'traefik.http.routers.web.rule=Host(`x`)']

/** What each view shows of the instances of `web`: `web-1` at 10.1.0.1, `web-2` at 10.1.0.2. */
async function shown(checks: readonly HealthCheck[]) {
  const membership = new FakeMembership('n1')
  const catalog = new CatalogStore({ membership, log })
  catalog.start()
  const services = [1, 2].map((i) => service(`web-${i}`, { address: `10.1.0.${i}`, tags: TAGS }))
  catalog.put(record('n1', 1, services, checks), 0)
  const dns = new DnsView(catalog, ZONE, () => 0).answer({
    name: 'web.service.constellation',
    type: 'A',
    class: 1,
  })
  const traefik = new TraefikView(
    { render: { entryPoints: [] }, guard: { percent: 100, holdMs: 0 }, settleMs: 0 },
    { catalog, log, clock: { now: () => 0, wall: () => 0 } },
  ).document()
  const { app } = harness({ catalog })
  const passing = (await app.inject('/v1/health/service/web?passing')).json()
  await app.close()
  return {
    dns: dns.answers.map(({ data }) => data).toSorted(),
    traefik: [...new Set(traefik.body.match(/10\.1\.0\.\d/g))].toSorted(),
    passing: passing.map((entry: { Service: { Address: string } }) => entry.Service.Address).toSorted(),
  }
}

t.test('every view leaves out what is in maintenance', async (t) => {
  const all = ['10.1.0.1', '10.1.0.2']
  t.same(await shown([]), { dns: all, traefik: all, passing: all })
  const second = ['10.1.0.2']
  t.same(await shown([maintenanceCheck('web-1', '')]), { dns: second, traefik: second, passing: second })
  t.same(await shown([maintenanceCheck('', '')]), { dns: [], traefik: [], passing: [] })
})
