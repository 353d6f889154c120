import { ScriptError } from './arguments.ts'

/** One command of a script and the line it stands on, counted from 1. */
export interface ScriptCommand {
  readonly line: number
  readonly text: string
}

/** Commands and what they must print; `before` are the comments and blank lines above. */
export interface ScriptBlock {
  readonly before: readonly string[]
  readonly commands: readonly ScriptCommand[]
  readonly expected: readonly string[]
  /** Line of the first expected output, counted from 1. */
  readonly expectedLine: number
}

/** A script: blocks, and the comments behind the last. */
export interface Script {
  readonly blocks: readonly ScriptBlock[]
  readonly after: readonly string[]
}

const SEPARATOR = '----'

/**
 * Reads a script. A block is one or more command lines, `----`, and the expected output up to the next blank line.
 * Lines that start with `#` outside the output are comments. @throws ScriptError
 */
export function parseScript(file: string, text: string): Script {
  const lines = text.replace(/\n+$/, '').split('\n')
  const blocks: ScriptBlock[] = []
  let before: string[] = []
  let at = 0
  const line = (): string => lines[at] ?? ''
  while (at < lines.length) {
    if (line().trim() === '' || line().startsWith('#')) {
      before.push(line())
      at++
      continue
    }
    const commands: ScriptCommand[] = []
    for (; at < lines.length && line() !== SEPARATOR && line().trim() !== ''; at++) {
      if (line().startsWith('#'))
        throw new ScriptError(`${file}:${at + 1}`, 'a comment stands between blocks')
      commands.push({ line: at + 1, text: line() })
    }
    if (line() !== SEPARATOR)
      throw new ScriptError(`${file}:${at}`, `${SEPARATOR} is missing after the command`)
    at++
    const expectedLine = at + 1
    const expected: string[] = []
    for (; at < lines.length && line().trim() !== ''; at++) expected.push(line())
    blocks.push({ before, commands, expected, expectedLine })
    before = []
  }
  if (blocks.length === 0) throw new ScriptError(file, 'the script has no command')
  return { blocks, after: before }
}

/** The text of a script with `outputs`, one list of lines per block, in place of the expected output. */
export function formatScript(script: Script, outputs: readonly (readonly string[])[]): string {
  const lines = script.blocks.flatMap(({ before, commands }, i) => [
    ...before,
    ...commands.map(({ text }) => text),
    SEPARATOR,
    ...(outputs[i] ?? []),
  ])
  return `${[...lines, ...script.after].join('\n')}\n`
}
