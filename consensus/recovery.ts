import { recoveredClusterId } from './cluster-id.ts'
import { ConsensusError } from './errors.ts'
import { allNodes, changeConfiguration, decodeChange, initialConfiguration } from './raft/configuration.ts'
import type { Configuration, HardState, SnapshotMeta } from './raft/types.ts'
import { decodeLogRecord } from './state/codec.ts'
import { StateMachine } from './state/state-machine.ts'
import type { LogStore, StoredState, StoreIdentity } from './storage/log-store.ts'

/** What a survivor of a cluster that lost its quorum has stored. Indexes and terms are those of its log. */
export interface Survivor {
  readonly nodeId: string
  readonly clusterId: string
  /** Term it knows, which may be newer than that of its last entry. */
  readonly term: number
  readonly lastIndex: number
  readonly lastTerm: number
  /** Up to here it knows that a majority had the log. Later entries may have been acknowledged or not. */
  readonly commitIndex: number
  readonly snapshotIndex: number
  readonly snapshotTerm: number
  /** The configuration after the last entry of the log. */
  readonly configuration: Configuration
  readonly keys: number
  readonly sessions: number
}

/** What a recovery made. */
export interface Recovered {
  readonly clusterId: string
  readonly index: number
  readonly term: number
}

interface Examined {
  readonly survivor: Survivor
  /** The state after the last entry of the log. */
  readonly state: StateMachine
}

/**
 * How far the log of the recovered cluster begins behind the survivor's. The dead may have written entries the survivor
 * never got, and indexes are fencing tokens: none that was ever given out may be given out again.
 */
const INDEX_GAP = 1_000_000

/** Refuses a recovery; nothing was changed. */
function refuse(why: string): ConsensusError {
  return new ConsensusError('CST_RECOVERY_REFUSED', why)
}

/**
 * Reads what a store holds and opens it; the caller closes it. @throws ConsensusError `CST_RECOVERY_REFUSED` if it belongs
 *   to no cluster, `CST_LOG_DAMAGED`, `CST_STORAGE_FAILED` while another process has it.
 */
export async function examine(store: LogStore): Promise<Survivor> {
  return (await examineAll(store)).survivor
}

async function examineAll(store: LogStore): Promise<Examined> {
  const stored = await store.open()
  const { identity, hardState, entries, logStart } = stored
  if (identity === null) throw refuse('this node belongs to no cluster, so there is nothing to recover')
  const { state, configuration } = await replay(store, stored).catch((error: Error) => {
    if (error instanceof ConsensusError) throw error
    throw new ConsensusError('CST_LOG_DAMAGED', `what is stored cannot be used: ${error.message}`, {
      cause: error,
    })
  })
  const survivor: Survivor = {
    nodeId: identity.nodeId,
    clusterId: identity.clusterId,
    term: hardState.term,
    lastIndex: logStart.index + entries.length,
    lastTerm: entries.at(-1)?.term ?? logStart.term,
    commitIndex: Math.max(hardState.commit, stored.snapshot?.index ?? 0),
    snapshotIndex: stored.snapshot?.index ?? 0,
    snapshotTerm: stored.snapshot?.term ?? 0,
    configuration,
    keys: state.kvList('').length,
    sessions: state.sessions().length,
  }
  if (survivor.lastIndex === 0)
    throw refuse('this node has not got anything of its cluster yet: choose another')
  return { survivor, state }
}

/** The state and the configuration after every entry of the log, committed or not: more may have been acknowledged than is known. */
async function replay(
  store: LogStore,
  { snapshot, entries }: StoredState,
): Promise<{ state: StateMachine; configuration: Configuration }> {
  const saved = snapshot === null || snapshot.index === 0 ? null : store.readSnapshot()
  const state = saved === null ? new StateMachine() : await StateMachine.restore(saved.records)
  let configuration = snapshot?.configuration ?? initialConfiguration([])
  for (const { index, type, data } of entries) {
    if (index <= state.appliedIndex) continue
    if (type === 'config') configuration = changeConfiguration(configuration, decodeChange(data))
    if (type === 'config' || data.length === 0) state.skip(index)
    else state.apply(index, decodeLogRecord(data))
  }
  return { state, configuration }
}

/**
 * Makes a new cluster with this node as its only voter out of everything the store holds, in one synced batch: before it
 * nothing has changed, after it everything has. The cluster gets an id that supersedes the old one, so nodes of the old
 * cluster are strangers to the new one and stand back when they meet it. Opens the store and leaves it open.
 * `random`: eight hexadecimal digits. @throws ConsensusError as `examine`, and `CST_RECOVERY_REFUSED` if the store no
 *   longer holds what `expected` says.
 */
export async function recover(store: LogStore, expected: Survivor, random: string): Promise<Recovered> {
  const { survivor, state } = await examineAll(store)
  const { nodeId, clusterId, lastIndex, lastTerm } = survivor
  const isSame =
    clusterId === expected.clusterId && lastIndex === expected.lastIndex && lastTerm === expected.lastTerm
  if (!isSame) throw refuse('the data changed while it was looked at: has an agent been started?')
  const identity: StoreIdentity = { nodeId, clusterId: recoveredClusterId(clusterId, random) }
  const term = Math.max(survivor.term, lastTerm) + 1
  const index = lastIndex + INDEX_GAP
  state.skip(index)
  const meta: SnapshotMeta = { index, term, configuration: initialConfiguration([nodeId]) }
  const hardState: HardState = { term, vote: '', commit: index }
  await store.initialise(identity, meta, state.snapshot(), hardState)
  // A promise to found the old cluster, of which others may still ask, binds nobody now.
  await store.setPledge(null)
  return { clusterId: identity.clusterId, index, term }
}

/** Ids of the other nodes of the survivor's configuration, sorted. */
export function lostNodes({ nodeId, configuration }: Survivor): string[] {
  return allNodes(configuration).filter((id) => id !== nodeId)
}
