import type { EngineAddress } from '../../providers/docker/types.ts'
import { engineAddress, hostAddress, networkName } from './docker-values.ts'
import type { Setting } from './schema.ts'
import type { Config, DockerConfig } from './types.ts'
import { flag, list } from './values.ts'

/** What the settings of the Docker source hold once they were read. */
export interface DockerSettingValues {
  'providers.docker': boolean
  'providers.docker.socket': EngineAddress
  'providers.docker.expose_by_default': boolean
  'providers.docker.address': string
  'providers.docker.routable_networks': readonly string[]
  'providers.docker.restart': boolean
  'providers.docker.run_once': boolean
}

const SOCKET = '/var/run/docker.sock'

function docker<T>(
  kind: Setting<T>['kind'],
  shown: string,
  doc: string,
  read: (docker: DockerConfig) => T | null,
): Setting<T> {
  const of = ({ providers }: Config) => (providers.docker === null ? null : read(providers.docker))
  return { kind, default: shown, flag: null, doc, reloadable: false, read: of }
}

/** The settings below `providers.docker`. */
export const DOCKER_SETTINGS: {
  readonly [Path in keyof DockerSettingValues]: Setting<DockerSettingValues[Path]>
} = {
  'providers.docker': {
    kind: flag(),
    default: 'false',
    flag: null,
    doc: 'Whether the containers of this host are services of this node. A mapping with the keys below means true.',
    reloadable: false,
    read: (config) => config.providers.docker !== null,
  },
  'providers.docker.socket': docker<EngineAddress>(
    engineAddress(),
    SOCKET,
    'Socket of Docker or Podman, or the address of a proxy of it.',
    ({ socket }) => socket,
  ),
  'providers.docker.expose_by_default': docker(
    flag(),
    'false',
    'Whether a container is a service that has neither the label constellation.enable nor traefik.enable.',
    ({ exposeByDefault }) => exposeByDefault,
  ),
  'providers.docker.address': docker<string>(
    hostAddress(),
    'the host of mesh.advertise',
    'Where other hosts reach the ports that containers publish on all addresses.',
    ({ address }) => address,
  ),
  'providers.docker.routable_networks': docker<readonly string[]>(
    list(networkName()),
    '[]',
    'Networks whose container addresses other hosts reach as they are, such as an overlay; used for ports that are not published.',
    ({ routableNetworks }) => routableNetworks,
  ),
  'providers.docker.restart': docker(
    flag(),
    'false',
    'Whether this agent restarts unhealthy containers that have the label constellation.restart=on-unhealthy. Needs an engine that lets it.',
    ({ restart }) => restart,
  ),
  'providers.docker.run_once': docker(
    flag(),
    'false',
    'Whether this agent starts and stops containers that have the label constellation.run-once, so that one copy runs in the cluster. Needs an engine that lets it.',
    ({ runOnce }) => runOnce,
  ),
}

/** The settings that were found, or null where the source is off. */
export function dockerConfig(
  get: <Path extends keyof DockerSettingValues>(path: Path) => DockerSettingValues[Path] | undefined,
): DockerConfig | null {
  if (get('providers.docker') !== true) return null
  return {
    socket: get('providers.docker.socket') ?? { kind: 'unix', path: SOCKET },
    exposeByDefault: get('providers.docker.expose_by_default') ?? false,
    address: get('providers.docker.address') ?? null,
    routableNetworks: get('providers.docker.routable_networks') ?? [],
    restart: get('providers.docker.restart') ?? false,
    runOnce: get('providers.docker.run_once') ?? false,
  }
}
