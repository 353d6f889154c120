import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'

/** Debian's Python: the one its packages patroni, python3-consul and python3-psycopg2 belong to. */
export const PYTHON = '/usr/bin/python3'
/** Programs of Debian's postgresql-15. */
export const POSTGRES_BIN = '/usr/lib/postgresql/15/bin'
export const PATRONI = '/usr/bin/patroni'

/** Who runs PostgreSQL, which refuses to run as root. */
const UNPRIVILEGED = 'postgres'

/** What this machine has for the test. */
export interface Programs {
  /** Version of Patroni, such as `3.0.2`. */
  readonly patroni: string
  /** First line of `postgres --version`. */
  readonly postgres: string
  /** Who has to run the members; null: whoever runs the test. */
  readonly user: { readonly name: string; readonly uid: number; readonly gid: number } | null
}

/** The programs, or in a sentence what is missing. Starts Python and PostgreSQL for a moment. */
export function findPrograms(): Programs | string {
  for (const path of [PYTHON, PATRONI, `${POSTGRES_BIN}/postgres`])
    if (!existsSync(path))
      return `needs ${path} (Debian packages patroni, postgresql-15, python3-consul, python3-psycopg2)`
  try {
    const script =
      'from consul import Consul; import psycopg2, patroni.version; print(patroni.version.__version__)'
    const patroni = run(PYTHON, ['-c', script])
    const postgres = run(`${POSTGRES_BIN}/postgres`, ['--version'])
    if (process.getuid?.() !== 0) return { patroni, postgres, user: null }
    const [uid, gid] = ['-u', '-g'].map((flag) => Number(run('id', [flag, UNPRIVILEGED])))
    return { patroni, postgres, user: { name: UNPRIVILEGED, uid: uid ?? 0, gid: gid ?? 0 } }
  } catch (error) {
    const said = (error as { stderr?: Buffer | string }).stderr?.toString().trim().split('\n').at(-1)
    return `needs Debian's patroni, postgresql-15, python3-consul, python3-psycopg2: ${said || error}`
  }
}

function run(program: string, args: readonly string[]): string {
  return execFileSync(program, args, {
    env: { PATH: process.env.PATH ?? '' },
    timeout: 20_000,
    stdio: 'pipe',
  })
    .toString()
    .trim()
}
