/** What can happen in the cluster, as a node sees it. */
export const CLUSTER_EVENT_TYPES = [
  'node-joined',
  'node-suspected',
  'node-recovered',
  'node-failed',
  'node-left',
  'node-cordoned',
  'node-draining',
  'node-uncordoned',
  'service-up',
  'service-down',
  'leader-changed',
  'lease-moved',
  'container-restarted',
  'container-restart-failed',
  'container-restart-held',
  'run-once-started',
  'run-once-stopped',
  'run-once-failed',
  'user-event',
] as const

/** One of {@link CLUSTER_EVENT_TYPES}. */
export type ClusterEventType = (typeof CLUSTER_EVENT_TYPES)[number]

/** True for the name of a type of event. */
export function isClusterEventType(text: string): text is ClusterEventType {
  return CLUSTER_EVENT_TYPES.some((type) => type === text)
}
