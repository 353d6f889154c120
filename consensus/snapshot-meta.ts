import type { Configuration, NodeId, SnapshotMeta } from './raft/types.ts'

/** More nodes than any cluster has. */
const NODES_MAX = 10_000

function isIdList(value: unknown): value is NodeId[] {
  return (
    Array.isArray(value) &&
    value.length <= NODES_MAX &&
    value.every((id) => typeof id === 'string' && id !== '') &&
    new Set(value).size === value.length
  )
}

function isPosition(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 1
}

/** True if `value`, which came over the network, describes a snapshot the protocol can work with. */
export function isSnapshotMeta(value: unknown): value is SnapshotMeta {
  if (typeof value !== 'object' || value === null) return false
  const { index, term, configuration } = value as Partial<Record<keyof SnapshotMeta, unknown>>
  if (!isPosition(index) || !isPosition(term)) return false
  if (typeof configuration !== 'object' || configuration === null) return false
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = configuration as Partial<
    Record<keyof Configuration, unknown>
  >
  const lists = [voters, votersOutgoing, learners, learnersNext]
  return lists.every(isIdList) && (voters as NodeId[]).length > 0 && typeof autoLeave === 'boolean'
}
