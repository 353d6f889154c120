import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'

/** Where tests put stores that sync hundreds of times: in memory if the machine has a folder there, for disks can be slow. */
export const PLACE = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
