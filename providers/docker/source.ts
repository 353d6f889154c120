import { isDeepStrictEqual } from 'node:util'
import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import { CatalogError } from '../../discovery/catalog/errors.ts'
import type { LocalCatalog, ServiceInstance } from '../../discovery/catalog/types.ts'
import { catalogCheck } from '../../discovery/health/check-state.ts'
import { dropRegistration } from '../../discovery/health/registration.ts'
import type { Timer, Timers } from '../../discovery/health/timers.ts'
import type { CheckDefinition, HealthRunner } from '../../discovery/health/types.ts'
import {
  engineCheck,
  engineCheckId,
  portProbeDefinition,
  portProbeId,
  probeDefinition,
  probeId,
} from './checks.ts'
import type { LabelOptions } from './labels.ts'
import { DockerMetrics } from './metrics.ts'
import { nameInstances } from './naming.ts'
import type { DockerProblem } from './problem.ts'
import { type Translation, translate } from './translate.ts'
import type { Engine } from './types.ts'
import { DockerWatcher, type EngineStanding, type WatcherOptions } from './watcher.ts'

/** Settings of the Docker source. */
export interface DockerSourceOptions extends LabelOptions {
  /** Name of this node, part of the ids of its instances. */
  readonly node: string
  readonly exposeByDefault: boolean
  /** Whether this agent may restart containers that ask for it. */
  readonly mayRestart: boolean
  /** Whether this agent may start and stop containers of which one runs in the cluster. */
  readonly mayRunOnce: boolean
  /** Networks whose addresses other hosts reach as they are. */
  readonly routableNetworks: readonly string[]
  /** Where published ports are reached; null = the address of this node's record. */
  readonly address: string | null
  readonly watcher?: WatcherOptions
}

/** What the source works with. */
export interface DockerSourceCollaborators {
  readonly engine: Engine
  readonly local: LocalCatalog
  readonly health: Pick<HealthRunner, 'put' | 'remove' | 'definitions'>
  readonly timers: Timers
  /** In [0, 1). */
  readonly random: () => number
  readonly log: Logger
  readonly metrics?: Registry
}

/** A container and what became of it. */
export interface ContainerFate {
  readonly translation: Translation
  /** Id of its instance; null if it has none. */
  readonly instance: string | null
  /** All that is known of, those of the catalogue included. */
  readonly problems: readonly DockerProblem[]
  readonly stopping: boolean
}

/** The engine may be away for so long before its instances say so. */
const AWAY_MS = 5_000
/** The agent waits for the first look no longer than this when it starts. */
const FIRST_LOOK_MS = 3_000

/**
 * Keeps the instances of this node's containers in its record. It owns the instances whose source is Docker and touches no
 * others. While the engine is away they stay: the containers may well run on, so their ports are looked at instead.
 */
export class DockerSource {
  readonly #options: DockerSourceOptions
  readonly #with: DockerSourceCollaborators
  readonly #watcher: DockerWatcher
  readonly metrics: DockerMetrics
  readonly #listeners = new Set<() => void>()
  #fates: readonly ContainerFate[] = []
  /** Problems that were logged, by container and text. */
  #said = new Set<string>()
  #away: Timer | null = null
  #running = false

  constructor(options: DockerSourceOptions, collaborators: DockerSourceCollaborators) {
    const { engine, timers, random, log } = collaborators
    this.#options = options
    this.#with = collaborators
    this.metrics = new DockerMetrics(collaborators.metrics, {
      connected: () => this.#watcher.standing.connected,
      containers: () => this.#watcher.containers.size,
      instances: () => this.#fates.filter(({ instance }) => instance !== null).length,
      problems: () => this.#fates.reduce((sum, { problems }) => sum + problems.length, 0),
    })
    const onChange = () => this.#changed()
    const watched = { engine, timers, random, log, metrics: this.metrics, onChange }
    this.#watcher = new DockerWatcher(options.watcher ?? {}, watched)
  }

  /** Resolves when the containers are in the record, or when the engine keeps it waiting. Never rejects. */
  async start(): Promise<void> {
    this.#running = true
    await this.#watcher.start()
    const late = Promise.withResolvers<void>()
    const timer = this.#with.timers.after(FIRST_LOOK_MS, late.resolve)
    await Promise.race([this.#watcher.firstLook, late.promise])
    timer.cancel()
  }

  /** The instances stay: the containers do not end with the agent. */
  async stop(): Promise<void> {
    this.#running = false
    this.#away?.cancel()
    this.#away = null
    await this.#watcher.stop()
  }

  get standing(): EngineStanding {
    return this.#watcher.standing
  }

  /** Every container as of the last look, by name, and what became of it. */
  fates(): readonly ContainerFate[] {
    return this.#fates
  }

  /** Fires when `fates` or `standing` may have changed. Returns the way to stop. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #changed(): void {
    if (!this.#running) return
    try {
      if (this.#watcher.standing.connected) this.#apply()
      else this.#engineAway()
    } catch (error) {
      this.#with.log.error({ err: error }, 'the containers could not be brought into the catalogue')
    }
    for (const listener of [...this.#listeners]) listener()
  }

  /** Makes the record say what the containers are. */
  #apply(): void {
    this.#away?.cancel()
    this.#away = null
    const { local } = this.#with
    const translations = this.#translations()
    const before = local.record().services
    const nameless = translations.flatMap(({ container, service }) =>
      service === null
        ? []
        : [{ containerId: container.id, containerName: container.name, service: service.name }],
    )
    const ids = nameInstances(this.#options.node, nameless, before.values())
    const kept = new Set(ids.values())
    for (const { id, source } of before.values()) {
      if (source?.kind === 'docker' && !kept.has(id)) dropRegistration(this.#with, id)
    }
    this.#fates = translations.map((translation) => this.#put(translation, ids.get(translation.container.id)))
    this.#sayProblems()
  }

  #translations(): Translation[] {
    const { containers } = this.#watcher
    const options = {
      ...this.#options,
      nodeAddress: this.#options.address ?? this.#with.local.record().address,
      routableNetworks: new Set(this.#options.routableNetworks),
      lookUp: (id: string) => containers.get(id),
    }
    return [...containers.values()]
      .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
      .map((container) => translate(container, options))
  }

  #put(translation: Translation, id: string | undefined): ContainerFate {
    const { container, service, problems } = translation
    const stopping = this.#watcher.isStopping(container.id)
    if (service === null || id === undefined) return { translation, instance: null, problems, stopping }
    const { local } = this.#with
    const previous = local.record().services.get(id)
    // A container that has ended no longer says where it was published.
    const where = translation.isComplete || previous === undefined ? service : placeOf(previous)
    const instance: ServiceInstance = { ...service, ...where, id }
    try {
      local.putService(instance)
      local.putCheck(engineCheck(instance, stopping ? STOPPING : translation))
      this.#putProbe(instance, translation)
      return { translation, instance: id, problems, stopping }
    } catch (error) {
      if (!(error instanceof CatalogError)) throw error
      // Without its checks it would count as passing.
      dropRegistration(this.#with, id)
      const refused: DockerProblem = {
        code: 'refused',
        about: container.name,
        message: `the catalogue does not take it: ${error.message}`,
      }
      return { translation, instance: null, problems: [...problems, refused], stopping }
    }
  }

  #putProbe(instance: ServiceInstance, { probe }: Translation): void {
    const { health, local } = this.#with
    const id = probeId(instance.id)
    health.remove(portProbeId(instance.id))
    // What has ended needs no check, and gets it back when it runs again.
    if (probe === null) health.remove(id)
    else this.#run(probeDefinition(instance.id, probe, local.record().checks.get(id)?.status ?? 'critical'))
  }

  /** Runs a check, unless it runs already. */
  #run(definition: CheckDefinition): void {
    const { health, local } = this.#with
    const running = health.definitions().find(({ id }) => id === definition.id)
    if (
      running !== undefined &&
      isDeepStrictEqual({ ...running, initialStatus: definition.initialStatus }, definition)
    )
      return
    if (!local.record().checks.has(definition.id)) {
      local.putCheck(catalogCheck(definition, { status: definition.initialStatus, output: '' }))
    }
    health.put(definition)
  }

  #engineAway(): void {
    const { timers } = this.#with
    const { sinceMs } = this.#watcher.standing
    const leftMs = sinceMs + AWAY_MS - timers.now()
    if (leftMs > 0) {
      this.#away ??= timers.after(leftMs, () => {
        this.#away = null
        this.#changed()
      })
      return
    }
    for (const instance of [...this.#with.local.record().services.values()]) {
      if (instance.source?.kind === 'docker') this.#watchWithoutEngine(instance)
    }
  }

  /** Nobody says how it is: what is known to be bad stays so, and the rest is looked at from outside. */
  #watchWithoutEngine(instance: ServiceInstance): void {
    const { local, health } = this.#with
    const check = local.record().checks.get(engineCheckId(instance.id))
    if (check === undefined || check.status === 'passing') {
      const output = `the engine does not answer; before that: ${check?.output ?? 'not known'}`
      local.putCheck(engineCheck(instance, { status: 'warning', output }))
    }
    const isProbed = health.definitions().some(({ id }) => id === probeId(instance.id))
    const [main] = instance.endpoints ?? []
    if (isProbed || check?.status === 'critical' || main?.protocol !== 'tcp' || main.port === 0) return
    this.#run(portProbeDefinition(instance))
  }

  #sayProblems(): void {
    const { log } = this.#with
    const said = new Set<string>()
    for (const { translation, problems } of this.#fates) {
      const { id, name } = translation.container
      for (const { message } of problems) {
        const key = `${id} ${message}`
        if (!this.#said.has(key)) log.warn({ container: name }, `container ${name}: ${message}`)
        said.add(key)
      }
    }
    this.#said = said
  }
}

/** The check of a container between the signal to end and the end. */
export const STOPPING = { status: 'critical', output: 'it is asked to end' } as const

/** Takes every instance that was read from Docker out of the record: for an agent that no longer has the source. */
export function forgetContainers(collaborators: Pick<DockerSourceCollaborators, 'local' | 'health'>): void {
  for (const { id, source } of [...collaborators.local.record().services.values()]) {
    if (source?.kind === 'docker') dropRegistration(collaborators, id)
  }
}

function placeOf({ address, port, endpoints }: ServiceInstance): Partial<ServiceInstance> {
  return { address, port, ...(endpoints === undefined ? {} : { endpoints }) }
}
