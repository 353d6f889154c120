import { constants } from 'node:vm'

/** Asset of the executable: the program, a function in plain ASCII that takes what a CommonJS module is given. */
export const PROGRAM_ASSET = 'program.cjs'
/** How the program is compiled: its name in stack traces, and that it may import what Node brings along when it needs it. */
export const SCRIPT_OPTIONS = {
  filename: 'constellation.cjs',
  importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
}

/** What a cache of compiled code is for: the daemon, which uses most of the program, or commands that use little of it. */
export type CacheKind = 'agent' | 'command'

/** Asset with the compiled code for a command line that begins with `command`. */
export function cacheName(command: string | undefined): `${CacheKind}.cache` {
  return command === 'agent' ? 'agent.cache' : 'command.cache'
}
