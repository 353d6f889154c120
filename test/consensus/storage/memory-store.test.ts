import type { LogStore } from '../../../consensus/storage/log-store.ts'
import { MemoryStore } from '../../../consensus/storage/memory-store.ts'
import { logStoreConformance } from './conformance.ts'

const same = async (store: LogStore) => store

logStoreConformance('MemoryStore', { create: async () => new MemoryStore(), reopen: same, crash: same })
