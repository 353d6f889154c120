import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'

/** Where files are synced at no cost, if there is such a place: for tests that sync hundreds, for disks can be slow. */
export const MEMORY_DIR = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
