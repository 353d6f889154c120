import type { Container } from './container.ts'
import type { EngineEvent } from './events.ts'

/** Where an engine listens. */
export type EngineAddress =
  | { readonly kind: 'unix'; readonly path: string }
  /** Without TLS: for a proxy of the socket on this host or in a network of its own. */
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }

/** What an engine said about itself. */
export interface EngineInfo {
  readonly product: 'docker' | 'podman'
  /** Of the product, such as `29.0.1`; "" if it would not say. */
  readonly version: string
  /** Of the API both sides speak, such as `1.44`; "" = the engine's own newest. */
  readonly apiVersion: string
}

/** A stream of events that is open. */
export interface EventStream {
  /** Resolves when nothing more comes, with the reason. Never rejects. */
  readonly ended: Promise<Error>
  close(): void
}

/** A container engine. Every call rejects with a DockerError, or with the reason of an aborted signal. */
export interface Engine {
  /** Asks who it is and settles the version of the API for all other calls. */
  connect(signal: AbortSignal): Promise<EngineInfo>
  /** Resolves when every event from now on reaches `onEvent`. */
  events(onEvent: (event: EngineEvent) => void, signal: AbortSignal): Promise<EventStream>
  /** Ids of all containers, running or not. */
  list(signal: AbortSignal): Promise<readonly string[]>
  /** Null if there is none with this id any more. */
  inspect(id: string, signal: AbortSignal): Promise<Container | null>
  /** Stops and starts a container. It and the two below are the only calls that change something. */
  restart(id: string, signal: AbortSignal): Promise<void>
  /** Starts a container; does nothing if it runs. */
  start(id: string, signal: AbortSignal): Promise<void>
  /**
   * Asks a container to end and waits until it has, does nothing if it does not run. The engine goes on with it when the signal is
   * aborted. @param graceSeconds after which it is killed; null = what its container says, ten seconds unless set
   */
  stop(id: string, graceSeconds: number | null, signal: AbortSignal): Promise<void>
}
