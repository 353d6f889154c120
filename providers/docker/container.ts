import { DockerError } from './errors.ts'

/** Transport of a port that can be in the catalogue. */
export type PortProtocol = 'tcp' | 'udp'

/** A port a container listens on. */
export interface ContainerPort {
  readonly port: number
  readonly protocol: PortProtocol
}

/** Where the engine publishes a port of a container. `hostIp` "" = every address of the host. */
export interface PortBinding extends ContainerPort {
  readonly hostIp: string
  readonly hostPort: number
}

/** Result of a HEALTHCHECK. */
export interface ContainerHealth {
  readonly status: 'starting' | 'healthy' | 'unhealthy'
  /** Failures in a row. */
  readonly failingStreak: number
  /** Output of the last run. */
  readonly output: string
}

/** What `State.Status` may say; `unknown` for words of an engine that is newer than this. */
export type ContainerState =
  | 'created'
  | 'running'
  | 'paused'
  | 'restarting'
  | 'removing'
  | 'exited'
  | 'dead'
  | 'unknown'

/**
 * What the source needs to know of a container, in one form for all engines. The rest of an inspection, such as the
 * environment, which holds secrets, is not kept.
 */
export interface Container {
  readonly id: string
  /** Without the slash Docker puts in front. */
  readonly name: string
  readonly state: ContainerState
  readonly exitCode: number
  /** As the engine wrote it; changes with every start. */
  readonly startedAt: string
  /** Null without a HEALTHCHECK. */
  readonly health: ContainerHealth | null
  readonly labels: Readonly<Record<string, string>>
  /** Exposed or published, by port, tcp first. */
  readonly ports: readonly ContainerPort[]
  /** What is published now; of a container that does not run, what will be as far as that is fixed. */
  readonly bindings: readonly PortBinding[]
  /** `bridge`, `host`, `none`, `container:ID` or the name of a network. */
  readonly networkMode: string
  /** By name. */
  readonly networks: readonly { readonly name: string; readonly ipv4: string; readonly ipv6: string }[]
  /** `no`, `always`, `unless-stopped` or `on-failure`. */
  readonly restartPolicy: string
  /** How long it is given to end before it is killed; null = the engine's default, ten seconds. Negative = for ever. */
  readonly stopTimeoutSeconds: number | null
  /** Starts by that policy since the container was made. */
  readonly restartCount: number
}

type Json = Readonly<Record<string, unknown>>

const STATES: ReadonlyMap<unknown, ContainerState> = new Map<unknown, ContainerState>([
  ['created', 'created'],
  ['configured', 'created'],
  ['initialized', 'created'],
  ['running', 'running'],
  ['paused', 'paused'],
  ['restarting', 'restarting'],
  ['removing', 'removing'],
  ['exited', 'exited'],
  ['stopped', 'exited'],
  ['stopping', 'running'],
  ['dead', 'dead'],
])
const HEALTH_OUTPUT_CHARS = 1024

/**
 * Reads the answer of `GET /containers/{id}/json`. Fields that are missing have the value of a container that does not use them,
 * as engines leave out what is empty.
 * @throws DockerError `DKR_GARBLED` if it is no container at all
 */
export function readContainer(inspection: unknown): Container {
  const root = object(inspection)
  const id = text(root.Id)
  if (id === '') throw new DockerError('DKR_GARBLED', 'the engine answered with a container without an id')
  const state = object(root.State)
  const config = object(root.Config)
  const hostConfig = object(root.HostConfig)
  const settings = object(root.NetworkSettings)
  const status = STATES.get(state.Status) ?? 'unknown'
  // Docker empties NetworkSettings.Ports when a container stops.
  const bindings = readBindings(
    status === 'running' || status === 'paused' ? settings.Ports : hostConfig.PortBindings,
  )
  const exposed = [...Object.keys(object(config.ExposedPorts)), ...Object.keys(object(settings.Ports))]
  const ports = new Map<string, ContainerPort>()
  for (const port of [...exposed.map(readPort), ...bindings]) {
    if (port !== null)
      ports.set(`${port.port}/${port.protocol}`, { port: port.port, protocol: port.protocol })
  }
  return Object.freeze({
    id,
    name: text(root.Name).replace(/^\//, ''),
    state: status,
    exitCode: integer(state.ExitCode),
    startedAt: text(state.StartedAt),
    health: readHealth(state),
    labels: Object.freeze(
      Object.fromEntries(
        Object.entries(object(config.Labels)).filter(
          (entry): entry is [string, string] => typeof entry[1] === 'string',
        ),
      ),
    ),
    ports: Object.freeze([...ports.values()].sort(byPort)),
    bindings: Object.freeze(bindings.sort((a, b) => byPort(a, b) || a.hostPort - b.hostPort)),
    networkMode: text(hostConfig.NetworkMode),
    networks: Object.freeze(
      Object.entries(object(settings.Networks))
        .map(([name, network]) => {
          const { IPAddress, GlobalIPv6Address } = object(network)
          return { name, ipv4: text(IPAddress), ipv6: text(GlobalIPv6Address) }
        })
        .sort((a, b) => (a.name < b.name ? -1 : 1)),
    ),
    restartPolicy: text(object(hostConfig.RestartPolicy).Name) || 'no',
    stopTimeoutSeconds: Number.isInteger(config.StopTimeout) ? integer(config.StopTimeout) : null,
    restartCount: integer(root.RestartCount),
  })
}

/** Orders ports by number, tcp before udp. */
export function byPort(a: ContainerPort, b: ContainerPort): number {
  return a.port - b.port || (a.protocol < b.protocol ? -1 : a.protocol > b.protocol ? 1 : 0)
}

/** Reads `80/tcp`; null for what the catalogue cannot hold, such as SCTP. */
function readPort(key: string): ContainerPort | null {
  const [, digits, protocol = 'tcp'] = /^([0-9]{1,5})(?:\/(tcp|udp))?$/.exec(key) ?? []
  const port = Number(digits)
  if (digits === undefined || port < 1 || port > 65_535) return null
  return { port, protocol: protocol as PortProtocol }
}

function readBindings(ports: unknown): PortBinding[] {
  return Object.entries(object(ports)).flatMap(([key, bindings]) => {
    const port = readPort(key)
    if (port === null || !Array.isArray(bindings)) return []
    return bindings.flatMap((binding: unknown) => {
      const { HostIp, HostPort } = object(binding)
      const hostPort = Number(HostPort)
      // 0 and "" ask for a port that is chosen at the start.
      if (!Number.isInteger(hostPort) || hostPort < 1 || hostPort > 65_535) return []
      return [{ ...port, hostIp: text(HostIp), hostPort }]
    })
  })
}

function readHealth(state: Json): ContainerHealth | null {
  // Podman before 4.4 has both words for it.
  const { Status, FailingStreak, Log } = object(state.Health ?? state.Healthcheck)
  if (Status !== 'starting' && Status !== 'healthy' && Status !== 'unhealthy') return null
  const last = Array.isArray(Log) ? object(Log.at(-1)) : {}
  return {
    status: Status,
    failingStreak: integer(FailingStreak),
    output: text(last.Output).trim().slice(0, HEALTH_OUTPUT_CHARS),
  }
}

function object(value: unknown): Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {}
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function integer(value: unknown): number {
  return typeof value === 'number' && Number.isInteger(value) ? value : 0
}
