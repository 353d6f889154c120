import { CliError } from '../errors.ts'
import { EventNews, type News, StateNews } from './news.ts'

/** What `constellation watch` can follow, as `consul watch` calls it. */
export const WATCH_TYPES = ['key', 'keyprefix', 'services', 'nodes', 'service', 'checks', 'event'] as const

/** One of {@link WATCH_TYPES}. */
export type WatchType = (typeof WATCH_TYPES)[number]

/** What narrows a watch; each type takes some of these. */
export interface WatchFilters {
  readonly key?: string
  readonly prefix?: string
  readonly service?: string
  readonly tag?: readonly string[]
  readonly passingOnly?: boolean
  readonly state?: string
  readonly name?: string
  readonly filter?: string
  readonly newOnly?: boolean
}

/** A blocking query and what its answers mean. */
export interface WatchQuery {
  /** Path, encoded. */
  readonly path: string
  readonly params: readonly (readonly [name: string, value: string])[]
  /** What a 404 without a body stands for; undefined where it is a refusal. */
  readonly absent?: unknown
  /** What is to be told of an answer. */
  readonly valueOf: (answer: unknown) => unknown
  readonly news: News
}

type Name = keyof WatchFilters

interface Kind {
  readonly needs?: Name
  readonly takes?: readonly Name[]
  readonly query: (filters: WatchFilters) => Partial<WatchQuery> & Pick<WatchQuery, 'path'>
}

const KINDS: Readonly<Record<WatchType, Kind>> = {
  key: {
    needs: 'key',
    query: ({ key = '' }) => ({
      path: `/v1/kv/${encodePath(key)}`,
      absent: [],
      valueOf: (answer) => (Array.isArray(answer) ? (answer[0] ?? null) : null),
    }),
  },
  keyprefix: {
    needs: 'prefix',
    query: ({ prefix = '' }) => ({
      path: `/v1/kv/${encodePath(prefix)}`,
      params: [['recurse', '']],
      absent: [],
    }),
  },
  services: { takes: ['filter'], query: () => ({ path: '/v1/catalog/services' }) },
  nodes: { takes: ['filter'], query: () => ({ path: '/v1/catalog/nodes' }) },
  service: {
    needs: 'service',
    takes: ['tag', 'passingOnly', 'filter'],
    query: ({ service = '', tag = [], passingOnly = false }) => ({
      path: `/v1/health/service/${encodeURIComponent(service)}`,
      params: [
        ...tag.map((each) => ['tag', each] as const),
        ...(passingOnly ? [['passing', '1'] as const] : []),
      ],
    }),
  },
  checks: {
    takes: ['service', 'state', 'filter'],
    query: ({ service, state = 'any' }) => ({
      path:
        service === undefined
          ? `/v1/health/state/${encodeURIComponent(state)}`
          : `/v1/health/checks/${encodeURIComponent(service)}`,
    }),
  },
  event: {
    takes: ['name', 'newOnly'],
    query: ({ name, newOnly = false }) => ({
      path: '/v1/event/list',
      params: name === undefined ? [] : [['name', name]],
      news: new EventNews({ newOnly }),
    }),
  },
}

const OPTIONS: Readonly<Record<Name, string>> = {
  key: '--key',
  prefix: '--prefix',
  service: '--service',
  tag: '--tag',
  passingOnly: '--passing-only',
  state: '--state',
  name: '--name',
  filter: '--filter',
  newOnly: '--new-only',
}

/** The query behind a watch. @throws CliError `CLI_USAGE` when an option is missing or none of this type. */
export function watchQuery(type: WatchType, filters: WatchFilters): WatchQuery {
  const { needs, takes = [], query } = KINDS[type]
  const given = (Object.keys(OPTIONS) as Name[]).filter((name) => filters[name] !== undefined)
  for (const name of given) {
    if (name !== needs && !takes.includes(name)) {
      throw new CliError('CLI_USAGE', `${OPTIONS[name]} means nothing to --type ${type}`)
    }
  }
  if (needs !== undefined && !given.includes(needs)) {
    throw new CliError('CLI_USAGE', `--type ${type} needs ${OPTIONS[needs]}`)
  }
  if (type === 'checks' && given.includes('service') && given.includes('state')) {
    throw new CliError('CLI_USAGE', '--service and --state exclude each other')
  }
  const own = query(filters)
  const params = [
    ...(own.params ?? []),
    ...(filters.filter === undefined ? [] : [['filter', filters.filter] as const]),
  ]
  return { valueOf: (answer) => answer, news: new StateNews(), ...own, params }
}

/** As the key-value store wants keys: its slashes stay. */
function encodePath(key: string): string {
  return key.split('/').map(encodeURIComponent).join('/')
}
