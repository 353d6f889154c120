import { randomUUID } from 'node:crypto'
import type { CommandResult, ConsensusClient, Consistency, KeyRecord } from './client.ts'
import { ConsensusError, isConsensusError, restoreFailed } from './errors.ts'
import { isOfCluster } from './state/keys.ts'
import { RESTORE_BYTES_MAX, recordBytes, restoreCrc } from './state/restore.ts'

/** A part of a restore is about this large, so that no log entry outgrows a network frame. */
const PART_BYTES = 512 << 10
const PROPOSAL_TIMEOUT_MS = 10_000

/** The keys of one moment. */
export interface SavedKeys {
  /** Last log entry applied. */
  readonly index: number
  readonly term: number
  readonly clusterId: string | null
  readonly records: readonly KeyRecord[]
  /** ModifyIndex of the key changed last; 0 without keys. With the number of keys it tells whether anything changed. */
  readonly modifyIndex: number
  readonly knownLeader: boolean
  readonly lastContactMs: number
}

/** Reads and replaces all keys at once. Sessions, locks and leases belong to the running cluster and are no part of it. */
export class KeyBackup {
  readonly #client: ConsensusClient

  constructor(client: ConsensusClient) {
    this.#client = client
  }

  /**
   * The keys of one moment, leases and cordons left out.
   * @throws ConsensusError as `ConsensusClient.read`; `CST_TOO_LARGE` if they are more than could be restored.
   */
  async read(
    consistency: Consistency,
    options: { readonly signal?: AbortSignal; readonly timeoutMs?: number } = {},
  ): Promise<SavedKeys> {
    const { view, knownLeader, lastContactMs } = await this.#client.read(consistency, options)
    const { term, clusterId } = this.#client.status()
    const records = view.kvList('').filter(({ key, ttl }) => !isOfCluster(key) && ttl === undefined)
    checkSize(records)
    const modifyIndex = records.reduce((max, entry) => Math.max(max, entry.modifyIndex), 0)
    return { index: view.appliedIndex, term, clusterId, records, modifyIndex, knownLeader, lastContactMs }
  }

  /**
   * Replaces the keys through the log: parts are staged on every node, and one last entry puts them in place. Unless that
   * one is committed, nothing changes.
   * @throws ConsensusError `CST_RESTORE_FAILED`, `CST_TOO_LARGE`, `CST_NO_LEADER` (nothing changed),
   *   `CST_OUTCOME_UNKNOWN` (only of the last entry: it may be done). `records` is iterated twice.
   */
  async restore(records: Iterable<KeyRecord>, signal?: AbortSignal): Promise<void> {
    checkSize(records)
    const id = randomUUID()
    let parts = 0
    let crc = 0
    await this.#stage({ type: 'restore.begin', id }, signal)
    for (const part of partsOf(records)) {
      await this.#stage({ type: 'restore.part', id, part: parts, records: part }, signal)
      crc = restoreCrc(part, crc)
      parts++
    }
    if (signal?.aborted) throw restoreFailed('it was given up')
    accepted(await this.#client.propose({ type: 'restore.commit', id, parts, crc }, callOptions(signal)))
  }

  /** Proposes what only stages: whatever becomes of it, nothing has changed yet. */
  async #stage(
    command: Parameters<ConsensusClient['propose']>[0],
    signal: AbortSignal | undefined,
  ): Promise<void> {
    try {
      accepted(await this.#client.propose(command, callOptions(signal)))
    } catch (error) {
      if (!isConsensusError(error, 'CST_OUTCOME_UNKNOWN')) throw error
      throw restoreFailed('the leader did not answer', error)
    }
  }
}

function callOptions(signal: AbortSignal | undefined) {
  return { timeoutMs: PROPOSAL_TIMEOUT_MS, ...(signal === undefined ? {} : { signal }) }
}

function accepted(result: CommandResult): void {
  if (result.error !== undefined) throw restoreFailed(result.error)
}

function checkSize(records: Iterable<KeyRecord>): void {
  let bytes = 0
  for (const record of records) bytes += recordBytes(record)
  if (bytes <= RESTORE_BYTES_MAX) return
  throw new ConsensusError(
    'CST_TOO_LARGE',
    `keys and values of more than ${RESTORE_BYTES_MAX} bytes cannot be restored`,
  )
}

function* partsOf(records: Iterable<KeyRecord>): Generator<KeyRecord[]> {
  let part: KeyRecord[] = []
  let bytes = 0
  for (const { key, value, flags } of records) {
    const record = { key, value, flags }
    if (part.length > 0 && bytes + recordBytes(record) > PART_BYTES) {
      yield part
      part = []
      bytes = 0
    }
    part.push(record)
    bytes += recordBytes(record)
  }
  if (part.length > 0) yield part
}
