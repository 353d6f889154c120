import { LIMITS } from '../../discovery/catalog/limits.ts'
import type { CheckStatus, Endpoint, ServiceInstance } from '../../discovery/catalog/types.ts'
import type { Container, ContainerState } from './container.ts'
import { endpointsOf, type Reachability } from './endpoints.ts'
import {
  type CheckWish,
  hasRoutes,
  type LabelOptions,
  type RestartWish,
  readLabels,
  type Wishes,
} from './labels.ts'
import type { DockerProblem } from './problem.ts'

/** Settings that decide what becomes of a container. */
export interface TranslateOptions extends Reachability, LabelOptions {
  /** Whether a container is in the catalogue that says nothing about it. */
  readonly exposeByDefault: boolean
  /** Whether this agent may restart containers. */
  readonly mayRestart: boolean
  /** Whether this agent may start and stop containers of which one runs in the cluster. */
  readonly mayRunOnce: boolean
}

/** A check of an instance with the place it looks at. */
export interface ProbeTarget extends CheckWish {
  readonly address: string
  /** Of the host, or of the container where that is reached directly. */
  readonly hostPort: number
}

/** What a container is to be in the catalogue. */
export interface Translation {
  readonly container: Container
  /** Without an id, which depends on the others; null if it is to be in the catalogue no more, or not at all. */
  readonly service: Omit<ServiceInstance, 'id'> | null
  /** Whether `service` can be told from a container in this state; if not, what was known of it before holds. */
  readonly isComplete: boolean
  /** Why it is in the catalogue or not, in words. */
  readonly reason: string
  /** What the engine says of its health. */
  readonly status: CheckStatus
  readonly output: string
  readonly probe: ProbeTarget | null
  readonly restart: RestartWish | null
  /** Name of the service of which one copy is to run in the cluster, if it is one of them, in whatever state. */
  readonly runOnce: string | null
  readonly problems: readonly DockerProblem[]
}

/** Turns a container into an instance. Pure: the same container and settings give the same answer. */
export function translate(container: Container, options: TranslateOptions): Translation {
  const wishes = readLabels(container.labels, options)
  const name = wishes.service ?? serviceName(container)
  const isEnabled = wishes.enabled ?? options.exposeByDefault
  const runOnce = isEnabled && wishes.runOnce && options.mayRunOnce && name !== '' ? name : null
  const without = (reason: string, problems: readonly DockerProblem[] = []): Translation => ({
    container,
    service: null,
    isComplete: true,
    reason,
    status: 'critical',
    output: '',
    probe: null,
    restart: null,
    runOnce,
    problems,
  })
  if (!isEnabled) return without(notEnabled(container, wishes), mistakes(wishes))
  const asked = [...wishes.problems, ...ofRunOnce(container, wishes, options)]
  if (runOnce !== null && RESTING.has(container.state))
    return without('it runs once in the cluster, and not here', asked)
  if (container.state === 'created') return without('it has not been started yet', asked)
  if (container.state === 'removing') return without('it is being removed', asked)
  if (hasFinished(container)) return without('it has done its work: it ended with exit code 0', asked)
  if (name === '') return without('its name has no letter and no digit: set constellation.service')
  const [main, endpoints] = endpointsOf(container, wishes, options)
  const problems = [...asked, ...unreachable(endpoints, main)]
  if (wishes.restart !== null && !options.mayRestart) {
    problems.push({
      code: 'unused',
      about: 'constellation.restart',
      message: 'constellation.restart has no effect while providers.docker.restart is off',
    })
  }
  if (wishes.restart !== null && container.state === 'running' && container.health === null) {
    problems.push({
      code: 'unused',
      about: 'constellation.restart',
      message: 'constellation.restart has no effect: the container has no HEALTHCHECK',
    })
  }
  const { status, output } = healthOf(container, main)
  const isRunning = container.state === 'running' || container.state === 'paused'
  return {
    container,
    service: {
      name,
      tags: [...wishes.tags],
      address: main?.address || options.nodeAddress,
      port: main?.port ?? 0,
      meta: wishes.meta,
      weights: { passing: wishes.weight ?? 1, warning: Math.min(wishes.weight ?? 1, 1) },
      enableTagOverride: false,
      taggedAddresses: {},
      labels: wishes.labels,
      endpoints,
      source: {
        kind: 'docker',
        id: container.id,
        name: container.name.slice(0, LIMITS.idChars) || container.id,
      },
    },
    isComplete: isRunning,
    reason: 'it is in the catalogue',
    status,
    output,
    probe: isRunning ? probeTarget(wishes.check, main, endpoints, problems) : null,
    restart: options.mayRestart ? wishes.restart : null,
    runOnce,
    problems,
  }
}

/**
 * What Traefik's Docker provider calls it, so that its default rule means the same: `service-project` of Compose, the service
 * of a swarm, or the name of the container, with anything but letters and digits turned into "-".
 */
export function serviceName({ labels, name }: Pick<Container, 'labels' | 'name'>): string {
  const project = labels['com.docker.compose.project']
  const service = labels['com.docker.compose.service']
  const swarm = labels['com.docker.swarm.service.name']
  const full = project && service ? `${service}_${project}` : (swarm ?? name)
  return full
    .split(/[^\p{L}\p{N}]+/u)
    .filter((part) => part !== '')
    .join('-')
    .slice(0, LIMITS.nameChars)
}

/** A container that is to run once is no failure where it does not run. */
const RESTING: ReadonlySet<ContainerState> = new Set(['created', 'exited', 'dead'])

function ofRunOnce(
  { restartPolicy }: Container,
  { runOnce }: Wishes,
  { mayRunOnce }: TranslateOptions,
): DockerProblem[] {
  const about = 'constellation.run-once'
  if (!runOnce) return []
  if (!mayRunOnce) {
    return [
      { code: 'unused', about, message: `${about} has no effect while providers.docker.run_once is off` },
    ]
  }
  if (restartPolicy === 'no') return []
  const message = `its restart policy is ${restartPolicy}: the engine may start it without asking the cluster, say no instead`
  return [{ code: 'policy', about, message }]
}

function notEnabled(container: Container, wishes: Wishes): string {
  if (wishes.enabled === false) return 'its labels say so: constellation.enable or traefik.enable is false'
  if (hasRoutes(container.labels)) {
    return 'it has labels for Traefik, but does not say constellation.enable=true or traefik.enable=true, and providers.docker.expose_by_default is off'
  }
  return 'it does not say constellation.enable=true or traefik.enable=true'
}

/** Of a container that is not in the catalogue only what was surely meant for us. */
function mistakes({ problems }: Wishes): readonly DockerProblem[] {
  return problems.filter(({ about }) => about.toLowerCase().startsWith('constellation.'))
}

/** A job that has ended well and is not to be started again. */
function hasFinished({ state, exitCode, restartPolicy }: Container): boolean {
  return state === 'exited' && exitCode === 0 && (restartPolicy === 'no' || restartPolicy === 'on-failure')
}

function unreachable(endpoints: readonly Endpoint[], main: Endpoint | null): DockerProblem[] {
  return endpoints
    .filter((endpoint) => endpoint.problem !== undefined)
    .map((endpoint) => ({
      code: 'unreachable',
      about: endpoint.name,
      message: `${endpoint.problem}${endpoint === main ? '' : ' (not its main port)'}`,
    }))
}

function healthOf(
  container: Container,
  main: Endpoint | null,
): { readonly status: CheckStatus; readonly output: string } {
  const critical = (output: string) => ({ status: 'critical' as const, output })
  const { state, health, exitCode } = container
  if (state === 'exited' || state === 'dead') return critical(`it has ended with exit code ${exitCode}`)
  if (state === 'restarting') return critical(`the engine restarts it; it ended with exit code ${exitCode}`)
  if (state !== 'running') return critical(`it is ${state}`)
  if (main?.problem !== undefined) return critical(main.problem)
  if (health === null) return { status: 'passing', output: 'running; it has no HEALTHCHECK' }
  const said = health.output === '' ? '' : `: ${health.output}`
  if (health.status === 'healthy') return { status: 'passing', output: `healthy${said}` }
  if (health.status === 'starting') return critical(`starting: its HEALTHCHECK has not passed yet${said}`)
  return critical(`unhealthy${said}`)
}

function probeTarget(
  check: CheckWish | null,
  main: Endpoint | null,
  endpoints: readonly Endpoint[],
  problems: DockerProblem[],
): ProbeTarget | null {
  if (check === null) return null
  const target =
    check.port === null
      ? main
      : endpoints.find(({ containerPort, protocol }) => containerPort === check.port && protocol === 'tcp')
  const about = check.port === null ? `constellation.check.${check.kind}` : 'constellation.check.port'
  if (target === null || target === undefined || target.protocol !== 'tcp') {
    const message = `${about} has no effect: the container has no such TCP port`
    problems.push({ code: 'unused', about, message })
    return null
  }
  // What is wrong with it is said of the port.
  if (target.problem !== undefined) return null
  return { ...check, address: target.address, hostPort: target.port }
}
