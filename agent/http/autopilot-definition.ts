import type { AutopilotConfig, AutopilotEntry } from '../../consensus/client.ts'
import { formatGoDuration } from '../../discovery/health/duration.ts'
import { badRequest } from './errors.ts'
import type { Fields } from './fields.ts'

/** Longest duration of the configuration: a day. */
const DURATION_MAX_MS = 24 * 60 * 60_000
/** The most voters a cluster can have. */
const VOTERS_MAX = 7

/** Fields of Consul's configuration that nothing here corresponds to, and the value that asks for nothing. */
const WITHOUT_EFFECT: readonly (readonly [name: string, unset: unknown])[] = [
  ['RedundancyZoneTag', ''],
  ['DisableUpgradeMigration', false],
  ['UpgradeVersionTag', ''],
]

/** The configuration in Consul's shape. */
export function autopilotJson({ config, createIndex, modifyIndex }: AutopilotEntry) {
  return {
    CleanupDeadServers: config.cleanupDeadServers,
    LastContactThreshold: formatGoDuration(config.lastContactThresholdMs),
    MaxTrailingLogs: config.maxTrailingLogs,
    MinQuorum: config.minQuorum,
    ServerStabilizationTime: formatGoDuration(config.serverStabilizationMs),
    ...Object.fromEntries(WITHOUT_EFFECT),
    CreateIndex: createIndex,
    ModifyIndex: modifyIndex,
  }
}

/**
 * Reads a configuration, as far as the body names it.
 * @throws HttpError 400 for a value that is out of range, or that asks for something there is not
 */
export function parseAutopilot(fields: Fields): Partial<AutopilotConfig> {
  for (const [name, unset] of WITHOUT_EFFECT) {
    const value = fields.value(name) ?? unset
    if (value !== unset) {
      throw badRequest(
        `${name} is not supported: it can only be ${JSON.stringify(unset)}, not ${JSON.stringify(value)}`,
      )
    }
  }
  const given = <T>(name: string, read: (name: string) => T): T | undefined =>
    fields.isPresent(name) && fields.value(name) !== '' ? read(name) : undefined
  const config: { [K in keyof AutopilotConfig]: AutopilotConfig[K] | undefined } = {
    cleanupDeadServers: given('CleanupDeadServers', (name) => fields.boolean(name)),
    lastContactThresholdMs: given('LastContactThreshold', (name) => duration(fields, name, 1)),
    maxTrailingLogs: given('MaxTrailingLogs', (name) => amount(fields, name, Number.MAX_SAFE_INTEGER)),
    minQuorum: given('MinQuorum', (name) => amount(fields, name, VOTERS_MAX)),
    serverStabilizationMs: given('ServerStabilizationTime', (name) => duration(fields, name, 0)),
  }
  return Object.fromEntries(Object.entries(config).filter(([, value]) => value !== undefined))
}

function duration(fields: Fields, name: string, minMs: number): number {
  const ms = fields.durationMs(name) ?? 0
  if (ms < minMs || ms > DURATION_MAX_MS) {
    const range = `${formatGoDuration(minMs)} to ${formatGoDuration(DURATION_MAX_MS)}`
    throw badRequest(`${name} must be from ${range}, not ${formatGoDuration(ms)}`)
  }
  return ms
}

function amount(fields: Fields, name: string, max: number): number {
  const value = fields.integer(name) ?? 0
  if (value < 0 || value > max) throw badRequest(`${name} must be from 0 to ${max}, not ${value}`)
  return value
}
