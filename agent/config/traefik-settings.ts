import { parseGoDuration } from '../../discovery/health/duration.ts'
import type { Setting } from './schema.ts'
import type { Config, TraefikConfig } from './types.ts'
import { domain, duration, flag, integer, list, name, type ScalarKind, text } from './values.ts'

/** What the settings of the Traefik provider hold once they were read. */
export interface TraefikSettingValues {
  'providers.traefik': boolean
  'providers.traefik.version': string
  'providers.traefik.domain': string
  'providers.traefik.node_hosts': boolean
  'providers.traefik.entry_points': readonly string[]
  'providers.traefik.cert_resolver': string
  'providers.traefik.grace': number
  'providers.traefik.guard': number
  'providers.traefik.hold': number
  'providers.traefik.settle': number
}

const DEFAULTS = { version: '3.0', grace: '10m', guard: 50, hold: '1m', settle: '1s' }

function traefik<T>(
  kind: Setting<T>['kind'],
  shown: string,
  doc: string,
  read: (traefik: TraefikConfig) => T | null,
): Setting<T> {
  const of = ({ providers }: Config) => (providers.traefik === null ? null : read(providers.traefik))
  return { kind, default: shown, flag: null, doc, reloadable: true, read: of }
}

/** The settings below `providers.traefik`. */
export const TRAEFIK_SETTINGS: {
  readonly [Path in keyof TraefikSettingValues]: Setting<TraefikSettingValues[Path]>
} = {
  'providers.traefik': {
    kind: flag(),
    default: 'true',
    flag: null,
    doc: 'Whether this node answers the document Traefik polls. A mapping with the keys below means true.',
    reloadable: false,
    read: (config) => config.providers.traefik !== null,
  },
  'providers.traefik.version': traefik(
    release(),
    DEFAULTS.version,
    'The oldest Traefik that polls. Labels that it does not know are left out. The same on every node, like all keys here.',
    ({ version }) => version,
  ),
  'providers.traefik.domain': traefik<string>(
    domain(),
    'none',
    'Services get the host `service.domain` where labels give no rule, and `service.node.domain` for the copy of one node.',
    (settings) => settings.domain,
  ),
  'providers.traefik.node_hosts': traefik(
    flag(),
    'true',
    'Whether there are routes `service.node.domain`, if there is a domain.',
    ({ nodeHosts }) => nodeHosts,
  ),
  'providers.traefik.entry_points': traefik<readonly string[]>(
    list(name()),
    '[], which means the default entry points of Traefik',
    'Entry points of HTTP routers that name none.',
    ({ entryPoints }) => entryPoints,
  ),
  'providers.traefik.cert_resolver': traefik<string>(
    name(),
    'none',
    'Certificate resolver of HTTP routers that name none; those that name no entry points either get TLS with it.',
    ({ certResolver }) => certResolver,
  ),
  'providers.traefik.grace': traefik(
    duration('0s', '24h'),
    DEFAULTS.grace,
    'How long the routers of a service outlive its last instance, answering 503 instead of 404; 0s = not at all.',
    ({ graceMs }) => graceMs,
  ),
  'providers.traefik.guard': traefik(
    integer(1, 100),
    String(DEFAULTS.guard),
    'Percent of the services with servers that may lose the last one at once; if more than that, and three at least, do, they keep them for the time of `hold`. 100 = any number.',
    ({ guardPercent }) => guardPercent,
  ),
  'providers.traefik.hold': traefik(
    duration('0s', '1h'),
    DEFAULTS.hold,
    'How long a mass disappearance is held back; also how long after its start an agent waits for services it remembers.',
    ({ holdMs }) => holdMs,
  ),
  'providers.traefik.settle': traefik(
    duration('0s', '10s'),
    DEFAULTS.settle,
    'How long after a change of the document the next one waits, so that changes in quick succession are one; servers are removed at once.',
    ({ settleMs }) => settleMs,
  ),
}

/** What {@link TRAEFIK_SETTINGS} come to; null = the provider is off. */
export function traefikConfig(
  get: <Path extends keyof TraefikSettingValues>(path: Path) => TraefikSettingValues[Path] | undefined,
): TraefikConfig | null {
  if (get('providers.traefik') === false) return null
  return {
    version: get('providers.traefik.version') ?? DEFAULTS.version,
    domain: get('providers.traefik.domain') ?? null,
    nodeHosts: get('providers.traefik.node_hosts') ?? true,
    entryPoints: get('providers.traefik.entry_points') ?? [],
    certResolver: get('providers.traefik.cert_resolver') ?? null,
    graceMs: get('providers.traefik.grace') ?? parseGoDuration(DEFAULTS.grace),
    guardPercent: get('providers.traefik.guard') ?? DEFAULTS.guard,
    holdMs: get('providers.traefik.hold') ?? parseGoDuration(DEFAULTS.hold),
    settleMs: get('providers.traefik.settle') ?? parseGoDuration(DEFAULTS.settle),
  }
}

/** A release of Traefik as far as it decides what fields there are: "3.4", "v3.4" or "3.4.1". */
function release(): ScalarKind<string> {
  return text('a Traefik release such as "3.4", from 3.0 on', (value) => {
    const [, major, minor] = /^v?([0-9]{1,3})\.([0-9]{1,3})(?:\.[0-9]{1,4})?$/.exec(value) ?? []
    if (major === undefined || minor === undefined) throw new Error('is not a release')
    if (Number(major) !== 3) throw new Error('is not a release of Traefik 3')
    return `${Number(major)}.${Number(minor)}`
  })
}
