import { spawn } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { mutants } from './mutants/all.ts'
import type { Mutant } from './mutants/mutant.ts'

const ROOT = join(import.meta.dirname, '../..')
/** What the simulator and the tests of consensus are made of, relative to the root. */
const SOURCES = ['consensus', 'test/sim', 'test/consensus']

/** A mutant whose source fragment is not there exactly once: the code has changed since it was written. */
export class StaleMutantError extends Error {
  readonly code = 'SIM_STALE_MUTANT'

  constructor(name: string, file: string, found: number) {
    super(`mutant ${name} is stale: its fragment occurs ${found} times in ${file}, not once`)
    this.name = 'StaleMutantError'
  }
}

/** What became of a mutant. */
export interface Verdict {
  readonly mutant: Mutant
  readonly found: boolean
  /** The first line that says what went wrong, or '' if nothing did. */
  readonly how: string
  readonly output: string
}

/** The text with one edit made. @throws StaleMutantError */
export function mutate(name: string, { file, from, to }: Mutant['edits'][number], text: string): string {
  const parts = text.split(from)
  const [before, after] = parts
  if (parts.length !== 2 || before === undefined || after === undefined)
    throw new StaleMutantError(name, file, parts.length - 1)
  return before + to + after
}

/** Every file a mutant edits, with its edits made. @throws StaleMutantError */
export async function mutatedFiles({ name, edits }: Mutant): Promise<Map<string, string>> {
  const files = new Map<string, string>()
  for (const edit of edits) {
    const text = files.get(edit.file) ?? (await readFile(join(ROOT, edit.file), 'utf8'))
    files.set(edit.file, mutate(name, edit, text))
  }
  return files
}

/** Copies the sources to a new folder with the mutant's edits. Answers the folder. */
async function plant(mutant: Mutant): Promise<string> {
  const edited = await mutatedFiles(mutant)
  const folder = await mkdtemp(join(tmpdir(), 'constellation-sim-'))
  await writeFile(join(folder, 'package.json'), '{"type":"module"}')
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'), 'dir')
  for (const path of SOURCES) await cp(join(ROOT, path), join(folder, path), { recursive: true })
  for (const [file, text] of edited) await writeFile(join(folder, file), text)
  return folder
}

/** Runs a file of the mutant's tree with `args`. Answers its exit code. */
async function runPlanted(
  mutant: Mutant,
  args: readonly string[],
  output: (text: string) => void,
): Promise<number> {
  const folder = await plant(mutant)
  try {
    const [file = '', ...rest] = args
    const child = spawn(process.execPath, [join(folder, file), ...rest], {
      cwd: folder,
      env: { ...process.env, SIM_MUTANT: mutant.name, TAP: '1' },
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

/**
 * Runs the simulator with `args` on a copy of the sources that has the mutant's bug. Answers its exit code: 1 if it found
 * a violation. @throws StaleMutantError; RangeError for an unknown name
 */
export function runMutant(
  name: string,
  args: readonly string[],
  output: (text: string) => void,
): Promise<number> {
  const mutant = mutants.find((known) => known.name === name)
  if (mutant === undefined) throw new RangeError(`there is no mutant ${name}; see --list-mutants`)
  return runPlanted(mutant, ['test/sim/main.ts', ...args], output)
}

/** Lets what must find the mutant look for it. @throws StaleMutantError */
export async function judge(mutant: Mutant): Promise<Verdict> {
  const { foundBy } = mutant
  const args =
    'test' in foundBy ? [foundBy.test] : ['test/sim/main.ts', '--seed', '1', '--seeds', String(foundBy.seeds)]
  const chunks: string[] = []
  const code = await runPlanted(mutant, args, (text) => chunks.push(text))
  const output = chunks.join('')
  // A copy that could not be started at all has found nothing.
  const sign = 'test' in foundBy ? /^ *not ok .*$/m : /^seed \d+ failed: .*$/m
  const how = sign.exec(output)?.[0].trim() ?? ''
  return { mutant, found: code !== 0 && how !== '', how, output }
}

/** Judges mutants, `atOnce` at a time; `onVerdict` hears of each as it comes. */
export async function judgeAll(
  list: readonly Mutant[],
  atOnce: number,
  onVerdict: (verdict: Verdict) => void,
): Promise<void> {
  const waiting = [...list]
  const worker = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) onVerdict(await judge(next))
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
}
