import type { AgentProcess } from '../agent-process.ts'

/** Where one agent runs: its addresses, and how to start a program there. */
export interface Site {
  readonly name: string
  readonly host: string
  readonly ports: AgentProcess['ports']
  /** host:port at which the others reach it. */
  readonly address: string
  /** A command that runs the rest of its arguments at this site. */
  readonly launcher: readonly string[]
}

/** What went over the interface of a site since it was made, in both directions. */
export interface Traffic {
  readonly bytes: number
  readonly packets: number
}

/** A network between agents that can be cut and, where `canLose`, lose packets. */
export interface Fabric {
  /** What it is, for people. */
  readonly title: string
  readonly sites: readonly Site[]
  readonly canLose: boolean
  /** From now on no site of one group reaches a site of another. Connections stay open and fall silent. */
  cut(groups: readonly (readonly string[])[]): Promise<void>
  heal(): Promise<void>
  /** Loses this share of the packets between any two sites. @throws FabricError `FAB_NO_LOSS` */
  lose(percent: number): Promise<void>
  /** Packets lost on purpose so far: by `lose`, and at a cut. */
  lost(): Promise<number>
  /** By name of the site; null where the sites share an interface. */
  traffic(): Promise<ReadonlyMap<string, Traffic> | null>
  close(): Promise<void>
}

/** A network that could not be made or does not do what was asked. */
export class FabricError extends Error {
  readonly code: 'FAB_COMMAND' | 'FAB_NO_LOSS'

  constructor(code: FabricError['code'], message: string) {
    super(message)
    this.name = 'FabricError'
    this.code = code
  }
}

/** Every ordered pair of names of different groups. */
export function pairsAcross(groups: readonly (readonly string[])[]): readonly (readonly [string, string])[] {
  return groups.flatMap((group, i) =>
    groups.flatMap((other, j) => (i === j ? [] : group.flatMap((a) => other.map((b) => [a, b] as const)))),
  )
}
