import { isObject, type JsonObject } from '../../providers/traefik/json.ts'
import { decodeBody } from '../../providers/traefik/strict-decoder.ts'

/**
 * The HTTP part of a document as a configuration of HAProxy: routers of the form Host(`x`), load balancers with weights,
 * and failover between two of them. @throws Error for anything else
 */
export function toHaproxy(body: string, port: number): string {
  const { accepted, errors, value } = decodeBody(body)
  if (!accepted) throw new Error(`Traefik would refuse it: ${JSON.stringify(errors)}`)
  const http = member(value, 'http')
  const uses: string[] = []
  for (const [name, router] of Object.entries(member(http, 'routers'))) {
    const [, host] = /^Host\(`([^`]+)`\)$/.exec(String(member(http, 'routers', name).rule)) ?? []
    if (host === undefined || !isObject(router))
      throw new Error(`not a rule for one host: ${JSON.stringify(router)}`)
    uses.push(`  use_backend ${router.service} if { hdr(host) -i ${host} }`)
  }
  const backends = Object.keys(member(http, 'services')).flatMap((name) => [
    `backend ${name}`,
    '  balance roundrobin',
    ...serversOf(http, name).map((line, at) => `  server s${at} ${line}`),
  ])
  return `defaults
  mode http
  retries 0
  timeout connect 500ms
  timeout client 5s
  timeout server 5s
frontend web
  bind 127.0.0.1:${port}
  http-request return status 404 if !{ hdr(host) -m found }
${uses.join('\n')}
  default_backend nobody
backend nobody
  http-request return status 404
${backends.join('\n')}
`
}

function serversOf(http: JsonObject, name: string, backup = ''): readonly string[] {
  const service = member(http, 'services', name)
  if (isObject(service.failover)) {
    const { service: first, fallback } = service.failover
    return [...serversOf(http, String(first), backup), ...serversOf(http, String(fallback), ' backup')]
  }
  const { servers } = member(service, 'loadBalancer')
  return (Array.isArray(servers) ? servers : []).map((server) => {
    const { url, weight } = server as { url: string; weight?: number }
    return `${new URL(url).host}${weight === undefined ? '' : ` weight ${weight}`}${backup}`
  })
}

function member(root: JsonObject, ...path: readonly string[]): JsonObject {
  let at = root
  for (const key of path) {
    const next = at[key]
    if (!isObject(next)) return {}
    at = next
  }
  return at
}
