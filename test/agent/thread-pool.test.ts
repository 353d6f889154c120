import { execFile } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'

const MAIN = new URL('../../agent/main.ts', import.meta.url)

/** Threads of a process that has run the program and then read files. */
async function threads(t: { testdir(): string }, size: string | undefined): Promise<number> {
  const program = join(t.testdir(), 'program.ts')
  writeFileSync(
    program,
    `import { readdirSync } from 'node:fs'
     import { stat } from 'node:fs/promises'
     process.argv[2] = 'version'
     await import(${JSON.stringify(MAIN.href)})
     await Promise.all(Array.from({ length: 50 }, () => stat('/')))
     console.log('threads=' + readdirSync('/proc/self/task').length)`,
  )
  const { UV_THREADPOOL_SIZE: _, ...rest } = process.env
  const env = size === undefined ? rest : { ...rest, UV_THREADPOOL_SIZE: size }
  const { stdout } = await promisify(execFile)(process.execPath, [program], { env })
  return Number(/threads=(\d+)/.exec(stdout)?.[1])
}

t.test(
  'the program has 16 threads for files and lookups, unless the environment says another number',
  async (t) => {
    if (!existsSync('/proc/self/task')) return t.comment('skipped: needs /proc to count threads')
    const four = await threads(t, '4')
    t.equal((await threads(t, undefined)) - four, 12)
    t.equal((await threads(t, '5')) - four, 1)
  },
)
