import { spawn } from 'node:child_process'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type Mutant, mutants } from './mutants.ts'

const ROOT = join(import.meta.dirname, '../..')
/** What the simulator is made of, relative to the root. */
const SOURCES = ['consensus/raft', 'consensus/state', 'consensus/storage/entry-codec.ts', 'consensus/wire.ts']

/** A mutant whose source fragment is not there exactly once: the code has changed since it was written. */
export class StaleMutantError extends Error {
  readonly code = 'SIM_STALE_MUTANT'

  constructor(name: string, file: string, found: number) {
    super(`mutant ${name} is stale: its fragment occurs ${found} times in ${file}, not once`)
    this.name = 'StaleMutantError'
  }
}

/** The text with one edit made. @throws StaleMutantError */
export function mutate(name: string, { file, from, to }: Mutant['edits'][number], text: string): string {
  const parts = text.split(from)
  const [before, after] = parts
  if (parts.length !== 2 || before === undefined || after === undefined)
    throw new StaleMutantError(name, file, parts.length - 1)
  return before + to + after
}

/** Copies the simulator and what it simulates to a new folder with the mutant's edits. Answers the folder. */
async function plant({ name, edits }: Mutant): Promise<string> {
  const edited = new Map<string, string>()
  for (const edit of edits) {
    const text = edited.get(edit.file) ?? (await readFile(join(ROOT, edit.file), 'utf8'))
    edited.set(edit.file, mutate(name, edit, text))
  }
  const folder = await mkdtemp(join(tmpdir(), 'constellation-sim-'))
  await writeFile(join(folder, 'package.json'), '{"type":"module"}')
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'), 'dir')
  const sim = (await readdir(join(ROOT, 'test/sim'))).filter((file) => !file.endsWith('.test.ts'))
  for (const path of [...SOURCES, ...sim.map((file) => `test/sim/${file}`)]) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await cp(join(ROOT, path), join(folder, path), { recursive: true })
  }
  for (const [file, text] of edited) await writeFile(join(folder, file), text)
  return folder
}

/**
 * Runs the simulator with `args` on a copy of the sources that has the mutant's bug. Answers its exit code: 1 if it found
 * a violation. @throws StaleMutantError; RangeError for an unknown name
 */
export async function runMutant(
  name: string,
  args: readonly string[],
  output: (text: string) => void,
): Promise<number> {
  const mutant = mutants.find((known) => known.name === name)
  if (mutant === undefined) throw new RangeError(`there is no mutant ${name}; see --list-mutants`)
  const folder = await plant(mutant)
  try {
    const child = spawn(process.execPath, [join(folder, 'test/sim/main.ts'), ...args], {
      env: { ...process.env, SIM_MUTANT: name },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    child.stdout.setEncoding('utf8').on('data', output)
    child.stderr.setEncoding('utf8').on('data', output)
    return await new Promise((resolve, reject) => {
      child.on('error', reject)
      child.on('close', (code) => resolve(code ?? 1))
    })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
