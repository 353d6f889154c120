import { AUTOPILOT_KEY } from './state/keys.ts'
import type { Command, StateView } from './state/types.ts'

/** How the leader is to look after the servers: the nodes of the Raft configuration. One decision for the whole cluster. */
export interface AutopilotConfig {
  /** Whether it takes servers that are gone out of the configuration by itself. */
  readonly cleanupDeadServers: boolean
  /** A server is not healthy if it has not answered the leader for this long since it was to be asked again. */
  readonly lastContactThresholdMs: number
  /** Neither is one whose log is this many entries behind the leader's. */
  readonly maxTrailingLogs: number
  /** The leader lets the number of voters fall no lower than this by itself. */
  readonly minQuorum: number
  /** How long a server must have answered without a break before it is made a voter. */
  readonly serverStabilizationMs: number
}

/** The configuration, and the log indexes of its key; 0 while nobody has set any. */
export interface AutopilotEntry {
  readonly config: AutopilotConfig
  readonly createIndex: number
  readonly modifyIndex: number
}

/** What holds while nobody has decided otherwise. */
export const AUTOPILOT_DEFAULTS: AutopilotConfig = Object.freeze({
  cleanupDeadServers: true,
  // The shortest election timeout: a follower that hears nothing for this long looks for another leader.
  lastContactThresholdMs: 1000,
  maxTrailingLogs: 250,
  minQuorum: 0,
  // Two election timeouts, as long as a node may be silent before it counts as lost (`Replica`).
  serverStabilizationMs: 2000,
})

/**
 * The command that sets the configuration; what `config` does not name gets its default. `cas`: only if its ModifyIndex is
 * this, 0 = only if nobody has set any.
 */
export function autopilotCommand(config: Partial<AutopilotConfig>, cas?: number): Command {
  const value = new TextEncoder().encode(JSON.stringify({ ...AUTOPILOT_DEFAULTS, ...config }))
  const set = { type: 'kv.set', key: AUTOPILOT_KEY, value, flags: 0n } as const
  return cas === undefined ? set : { ...set, cas }
}

/** The configuration this state has. A value that somebody wrote there and that is none counts as the defaults. */
export function readAutopilot(view: Pick<StateView, 'kvGet'>): AutopilotEntry {
  const entry = view.kvGet(AUTOPILOT_KEY)
  if (entry === undefined) return { config: AUTOPILOT_DEFAULTS, createIndex: 0, modifyIndex: 0 }
  const { createIndex, modifyIndex } = entry
  return { config: decode(entry.value) ?? AUTOPILOT_DEFAULTS, createIndex, modifyIndex }
}

/** What somebody has decided; null if nobody has. */
export function decidedAutopilot(view: Pick<StateView, 'kvGet'>): AutopilotConfig | null {
  const entry = view.kvGet(AUTOPILOT_KEY)
  return entry === undefined ? null : decode(entry.value)
}

function decode(bytes: Uint8Array): AutopilotConfig | null {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    return null
  }
  if (typeof value !== 'object' || value === null) return null
  const { cleanupDeadServers, lastContactThresholdMs, maxTrailingLogs, minQuorum, serverStabilizationMs } =
    value as Record<string, unknown>
  if (
    typeof cleanupDeadServers !== 'boolean' ||
    !isAmount(lastContactThresholdMs) ||
    !isAmount(maxTrailingLogs) ||
    !isAmount(minQuorum) ||
    !isAmount(serverStabilizationMs)
  ) {
    return null
  }
  return { cleanupDeadServers, lastContactThresholdMs, maxTrailingLogs, minQuorum, serverStabilizationMs }
}

function isAmount(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0
}
