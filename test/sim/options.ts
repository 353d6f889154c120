import type { MessageType } from '../../consensus/raft/types.ts'
import { Random } from './random.ts'

/** Mean time between two faults of a kind, in virtual milliseconds; Infinity: never in this run. */
export interface FaultRates {
  readonly crash: number
  readonly pause: number
  readonly partition: number
  readonly oneWay: number
  readonly connectivity: number
  readonly clog: number
  readonly breakConnection: number
  readonly slowDisk: number
  readonly writeError: number
  readonly diskFull: number
  readonly membership: number
  readonly transfer: number
  readonly falseHint: number
  readonly clockSkew: number
  readonly clockJump: number
  readonly restartAll: number
}

/** Everything that distinguishes one run from another: each seed draws its own mix of faults. */
export interface SimOptions {
  readonly seed: number
  readonly voters: number
  /** Nodes that exist, members or not. */
  readonly nodes: number
  readonly clients: number
  readonly keys: number
  readonly faultyMs: number
  readonly thinkMs: number
  readonly electionTicks: number
  readonly appendBytesMax: number
  readonly windowMessages: number
  readonly snapshotEntries: number
  readonly keepEntries: number
  /** Leaders answer reads from leases. Clocks then run at about the same speed, which leases need. */
  readonly leaseReads: boolean
  readonly loss: number
  readonly duplication: number
  /** Kinds of message that hardly ever arrive while there are faults. */
  readonly unluckyTypes: readonly MessageType[]
  readonly delayMinMs: number
  readonly delayMeanMs: number
  /** Messages of a link arrive in the order they were sent, as on one TCP connection. */
  readonly ordered: boolean
  /** Messages go through the real wire format. */
  readonly encoded: boolean
  /** The transport tells when a connection is gone. */
  readonly connectionsKnown: boolean
  readonly diskMeanMs: number
  readonly rates: FaultRates
  /** First let only a quorum heal, and require that it works on its own. */
  readonly coreFirst: boolean
  /** The last fault before the healing is a transfer whose target nobody hears. */
  readonly endsWithDeadTransfer: boolean
}

const UNLUCKY: readonly (readonly MessageType[])[] = [
  ['vote', 'voteResponse'],
  ['preVote', 'preVoteResponse'],
  ['heartbeatResponse'],
  ['append'],
  ['appendResponse'],
  ['snapshot'],
]

const MEAN_MS: FaultRates = {
  crash: 3000,
  pause: 5000,
  partition: 3500,
  oneWay: 4500,
  connectivity: 8000,
  clog: 3000,
  breakConnection: 4000,
  slowDisk: 4000,
  writeError: 15_000,
  diskFull: 6000,
  membership: 1500,
  transfer: 3000,
  falseHint: 1500,
  clockSkew: 6000,
  clockJump: 6000,
  restartAll: 15_000,
}

/** Draws the options of a run from its seed. */
export function drawOptions(seed: number): SimOptions {
  const random = new Random(seed)
  const voters = random.pick([1, 2, 3, 3, 3, 3, 4, 5, 5, 5])
  const rate = (kind: keyof FaultRates, probability: number) =>
    random.chance(probability) ? MEAN_MS[kind] * random.between(0.4, 2.5) : Number.POSITIVE_INFINITY
  const churn = random.chance(0.55)
  const calmNetwork = random.chance(0.25)
  return {
    seed,
    voters,
    nodes: churn ? Math.max(3, voters + 1 + random.below(3)) : voters,
    clients: 2 + random.below(4),
    keys: 1 + random.below(5),
    faultyMs: random.between(8000, 25_000),
    thinkMs: random.pick([20, 80, 250, 1000]),
    electionTicks: random.pick([6, 10, 10]),
    appendBytesMax: random.pick([1, 400, 4000, 1 << 20]),
    windowMessages: random.pick([1, 2, 4, 256]),
    snapshotEntries: random.pick([5, 20, 60, 100_000]),
    keepEntries: random.pick([0, 3, 20]),
    leaseReads: random.chance(0.35),
    loss: calmNetwork ? 0 : random.pick([0, 0.01, 0.05, 0.2]),
    duplication: calmNetwork ? 0 : random.pick([0, 0.02, 0.2]),
    unluckyTypes: random.chance(0.2) ? random.pick(UNLUCKY) : [],
    delayMinMs: random.between(0.1, 5),
    delayMeanMs: random.pick([0.5, 5, 20, 60]),
    ordered: random.chance(0.4),
    encoded: random.chance(0.15),
    connectionsKnown: random.chance(0.5),
    diskMeanMs: random.pick([0.2, 5, 20, 60]),
    rates: {
      crash: rate('crash', 0.65),
      pause: rate('pause', 0.4),
      partition: rate('partition', 0.55),
      oneWay: rate('oneWay', 0.4),
      connectivity: rate('connectivity', 0.25),
      clog: rate('clog', 0.4),
      breakConnection: rate('breakConnection', 0.3),
      slowDisk: rate('slowDisk', 0.4),
      writeError: rate('writeError', 0.3),
      diskFull: rate('diskFull', 0.4),
      membership: churn ? rate('membership', 1) : Number.POSITIVE_INFINITY,
      transfer: rate('transfer', 0.4),
      falseHint: rate('falseHint', 0.4),
      clockSkew: rate('clockSkew', 0.4),
      clockJump: rate('clockJump', 0.3),
      restartAll: rate('restartAll', 0.3),
    },
    // Which nodes are a quorum is certain only while the members stay the same.
    coreFirst: !churn && random.chance(0.7),
    endsWithDeadTransfer: random.chance(0.2),
  }
}
