/** A message to every node whose filters match it: it happened, and nothing of it is kept for those who were not there. */
export interface UserEvent {
  /** UUID v4, drawn where it was fired. */
  readonly id: string
  readonly name: string
  readonly payload: Uint8Array
  /** Regular expressions (RE2) of the nodes, services and tags it is for; "" = all. */
  readonly nodeFilter: string
  readonly serviceFilter: string
  readonly tagFilter: string
  /**
   * Lamport clock: an event fired where another had been seen has a higher one. It counts what this agent has seen, and
   * starts again at 1 with the agent.
   */
  readonly lamportTime: number
}

/** The part of an event its sender chooses. */
export type EventSpec = Omit<UserEvent, 'id' | 'lamportTime'>

/** Bounds of an event. Lengths of texts in characters. */
export const EVENT_LIMITS = Object.freeze({
  nameChars: 255,
  filterChars: 512,
  /** Instructions of a compiled filter: matching takes time proportional to this and to the length of the text. */
  filterInstructions: 1024,
  payloadBytes: 16 * 1024,
  /** Events an agent keeps. */
  kept: 256,
})

/** User events as one agent has them. */
export interface UserEvents {
  /**
   * Tells every agent, this one included. Resolves when it is on its way; who hears of it is not known.
   * @throws EventError `EVT_INVALID`, MeshError
   */
  fire(spec: EventSpec): Promise<UserEvent>
  /** The newest events that are for this node, in the order they came. */
  list(): readonly UserEvent[]
  /** Fires after each event that is for this node. Returns the way to stop. */
  onEvent(listener: () => void): () => void
}
