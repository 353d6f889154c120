import { hash } from 'node:crypto'
import type { Mesh } from '../mesh/types.ts'
import { EntryTree } from './entry-tree.ts'
import { type Stamp, signStamp } from './stamp.ts'
import type { HealthCheck, NodeRecord, ServiceInstance } from './types.ts'

/** An entry of a record and the text its owner wrote it as. Fields this version does not know are in the text only. */
export interface Written<T> {
  readonly entry: T
  readonly text: string
}

/** A record with what its owner signed, and all that is needed to hand it on unchanged. */
export interface SealedRecord {
  readonly record: NodeRecord
  readonly stamp: Stamp
  /** Name, address and meta of the node as its owner wrote them. */
  readonly head: string
  readonly tree: EntryTree
  /** Of the texts of its services and checks. */
  readonly bytes: number
}

type Kind = 'service' | 'check'
type Entry = ServiceInstance | HealthCheck

interface SealedEntry {
  readonly text: string
  /** SHA-256 in hex of the kind and the text. */
  readonly hash: string
  readonly bytes: number
}

/** The part of a sealed record that says what is in it. */
export type SealedContent = Omit<SealedRecord, 'stamp'>

/**
 * The texts and hashes of entries. An entry that did not change is the same object in the next record, so each is written and
 * hashed once, and forgotten with the last record that has it.
 */
export class EntrySeals {
  readonly #sealed = new WeakMap<Entry, SealedEntry>()

  service(entry: ServiceInstance): SealedEntry {
    return this.#of('service', entry)
  }

  check(entry: HealthCheck): SealedEntry {
    return this.#of('check', entry)
  }

  /** Remembers what the owners of these entries wrote. */
  keep(services: readonly Written<ServiceInstance>[], checks: readonly Written<HealthCheck>[]): void {
    for (const { entry, text } of services) this.#sealed.set(entry, sealed('service', text))
    for (const { entry, text } of checks) this.#sealed.set(entry, sealed('check', text))
  }

  #of(kind: Kind, entry: Entry): SealedEntry {
    const known = this.#sealed.get(entry)
    if (known) return known
    const made = sealed(kind, JSON.stringify(entry))
    this.#sealed.set(entry, made)
    return made
  }
}

function sealed(kind: Kind, text: string): SealedEntry {
  return { text, hash: hash('sha256', `${kind} ${text}`), bytes: Buffer.byteLength(text) + 1 }
}

/** Content with its head and all its entries looked at. */
export function contentOf(record: NodeRecord, head: string, seals: EntrySeals): SealedContent {
  const entries = [
    ...[...record.services.values()].map((entry) => seals.service(entry)),
    ...[...record.checks.values()].map((entry) => seals.check(entry)),
  ]
  return {
    record,
    head,
    tree: EntryTree.empty.with([], hashesOf(entries)),
    bytes: bytesOf(entries),
  }
}

/** Content of a later record with the same head: only entries that changed are looked at. */
export function nextContent(before: SealedContent, record: NodeRecord, seals: EntrySeals): SealedContent {
  const removed: SealedEntry[] = []
  const added: SealedEntry[] = []
  const compare = <T extends Entry>(
    old: ReadonlyMap<string, T>,
    now: ReadonlyMap<string, T>,
    seal: (entry: T) => SealedEntry,
  ): void => {
    for (const [id, entry] of old) if (now.get(id) !== entry) removed.push(seal(entry))
    for (const [id, entry] of now) if (old.get(id) !== entry) added.push(seal(entry))
  }
  compare(before.record.services, record.services, (entry) => seals.service(entry))
  compare(before.record.checks, record.checks, (entry) => seals.check(entry))
  return {
    record,
    head: before.head,
    tree: before.tree.with(hashesOf(removed), hashesOf(added)),
    bytes: before.bytes - bytesOf(removed) + bytesOf(added),
  }
}

function hashesOf(entries: readonly SealedEntry[]): string[] {
  return entries.map((entry) => entry.hash)
}

function bytesOf(entries: readonly SealedEntry[]): number {
  return entries.reduce((sum, { bytes }) => sum + bytes, 0)
}

/** The digest of a record out of the texts of a message, before any of them is read. */
export function digestOfTexts(head: string, services: readonly string[], checks: readonly string[]): string {
  const entries = [
    ...services.map((text) => sealed('service', text)),
    ...checks.map((text) => sealed('check', text)),
  ]
  return digestOfContent({ head, tree: EntryTree.empty.with([], hashesOf(entries)) })
}

/** What a stamp says about a record: its head and its entries under one hash. */
export function digestOfContent({ head, tree }: Pick<SealedContent, 'head' | 'tree'>): string {
  return hash('sha256', `${hash('sha256', head)} ${tree.root}`)
}

/** Signs a record of this node. `before`: an earlier one, to go on from. */
export function sealRecord(
  mesh: Pick<Mesh, 'id' | 'sign'>,
  record: NodeRecord,
  seals: EntrySeals,
  before?: SealedRecord,
): SealedRecord {
  const { name, address, meta, version } = record
  const head = JSON.stringify({ name, address, meta })
  const content = before?.head === head ? nextContent(before, record, seals) : contentOf(record, head, seals)
  return Object.freeze({ ...content, stamp: signStamp(mesh, version, digestOfContent(content)) })
}
