import { parseName, type Reading } from '../../../discovery/dns/name.ts'
import { suggest } from '../../config/suggest.ts'
import type { ApiClient } from '../api-client.ts'
import { type Fields, record, records } from '../client-command.ts'

const CONSUL = 'consul'
/** So many are named. */
const NAMED_MAX = 3
const OUTPUT_CHARS = 80
const TIMEOUT_MS = 3_000

type ServiceReading = Extract<Reading, { kind: 'service' | 'onNode' }>

/**
 * Says in one line why a name does not exist, as the agent's catalogue has it; null if the name is of no service or node.
 * `domain` is the zone that said so. @throws CliError `CLI_FAILED` if the agent cannot be asked
 */
export async function explainMissing(name: string, domain: string, api: ApiClient): Promise<string | null> {
  // Short names are under the domain of the cluster alone.
  const domains = domain === CONSUL ? ['', CONSUL] : [domain]
  const readings = parseName(name, { domains, datacenter: 'dc1' })?.readings ?? []
  const services = readings.filter(
    (reading): reading is ServiceReading => reading.kind === 'service' || reading.kind === 'onNode',
  )
  const get = async (path: string): Promise<unknown> =>
    api.parse(await api.expect(path, { timeoutMs: TIMEOUT_MS }))

  if (services.length > 0) {
    const known = Object.keys(record(await get('/v1/catalog/services')))
    for (const reading of services) {
      const exact = known.find((each) => each.toLowerCase() === reading.service)
      if (exact === undefined) continue
      return explainService(
        exact,
        reading,
        records(await get(`/v1/health/service/${encodeURIComponent(exact)}`)),
      )
    }
    return unknown('service', services[0]?.service ?? '', known)
  }
  const node = readings.find((reading) => reading.kind === 'node')
  if (node === undefined) return null
  const nodes = records(await get('/v1/catalog/nodes')).map(({ Node }) => String(Node))
  return unknown('node', node.node, nodes)
}

function explainService(
  service: string,
  { tag, ...reading }: ServiceReading,
  all: readonly Fields[],
): string {
  const of = (row: Fields, part: string) => record(row[part])
  const tags = (row: Fields) => (of(row, 'Service').Tags as unknown[] | null | undefined) ?? []
  const tagged = all.filter(
    (row) => tag === '' || tags(row).some((each) => String(each).toLowerCase() === tag),
  )
  if (tagged.length === 0) return `no instance of the service ${service} has the tag ${tag}`
  const here = tagged.filter(
    (row) => reading.kind === 'service' || String(of(row, 'Node').Node).toLowerCase() === reading.node,
  )
  if (here.length === 0) {
    const nodes = [...new Set(tagged.map((row) => String(of(row, 'Node').Node)))]
    const where = reading.kind === 'onNode' ? reading.node : ''
    return `the service ${service} does not run on ${where}; it runs on ${listed(nodes)}`
  }
  const described = here.map((row) => {
    const check = records(row.Checks).find(({ Status }) => Status === 'critical')
    const output = String(check?.Output ?? '')
      .replace(/\s+/g, ' ')
      .trim()
      .slice(0, OUTPUT_CHARS)
    const why = check === undefined ? 'not passing' : `${check.Name}${output === '' ? '' : `: ${output}`}`
    return `${of(row, 'Service').ID} on ${of(row, 'Node').Node} (${why})`
  })
  const all_ = here.length === 1 ? 'the only instance' : `all ${here.length} instances`
  return `${all_} of the service ${service} ${here.length === 1 ? 'is' : 'are'} critical: ${listed(described)}`
}

function unknown(kind: string, name: string, known: readonly string[]): string {
  const near = suggest(name, known)
  if (near !== null && near !== undefined) return `no ${kind} is called ${name}; did you mean ${near}?`
  return `no ${kind} is called ${name}; there ${known.length === 1 ? 'is' : 'are'} ${listed([...known].sort())}`
}

function listed(list: readonly string[]): string {
  if (list.length === 0) return 'none'
  const rest = list.length - NAMED_MAX
  return `${list.slice(0, NAMED_MAX).join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`
}
