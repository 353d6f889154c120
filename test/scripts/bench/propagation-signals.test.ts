import { spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import t from 'tap'
import { BUSYBOX } from '../../real/docker/image.ts'
import { unavailable } from '../../real/docker/own-namespace.ts'
import { until } from '../../real/until.ts'

const SCRIPT = resolve(import.meta.dirname, '../../../scripts/bench/propagation.ts')
const skip = unavailable(['dockerd', 'containerd', 'runc', BUSYBOX])
const patience = { timeoutMs: 60_000 }

/** The benchmark with a program in place of the agent that is there and never ready; answers once that runs. */
async function running(folder: string) {
  const [program, pidFile] = [join(folder, 'agent'), join(folder, 'pid')]
  writeFileSync(
    program,
    `#!/bin/sh\necho $$ >${pidFile}.new && mv ${pidFile}.new ${pidFile}\nexec sleep 600\n`,
  )
  chmodSync(program, 0o755)
  const args = [SCRIPT, '--nodes', '1', '--repeat', '1', '--executable', program]
  const { PATH = '' } = process.env
  const child = spawn(process.execPath, args, { env: { PATH, TMPDIR: folder } })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  await until('an agent runs', () => existsSync(pidFile) || child.exitCode !== null, patience)
  if (!existsSync(pidFile)) throw new Error(`it ended with ${child.exitCode}: ${said}`)
  return { child, ended, agent: Number(readFileSync(pidFile, 'utf8')), said: () => said }
}

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

for (const [signal, code] of [
  ['SIGTERM', 143],
  ['SIGINT', 130],
] as const) {
  t.test(`${signal} ends agents and engine, with one line`, { skip: skip ?? false }, async (t) => {
    // The path of a socket is short.
    const folder = mkdtempSync(join(tmpdir(), 'cst-'))
    t.teardown(() => rmSync(folder, { recursive: true, force: true }))
    const { child, ended, agent, said } = await running(folder)
    t.ok(isThere(agent))
    child.kill(signal)
    t.equal(await ended, code)
    t.equal(said(), `1 nodes\nended by ${signal}\n`)
    t.notOk(isThere(agent), 'the agent has ended')
    // containerd that is slow to end is made by dockerd to leave a file with its stacks.
    const left = readdirSync(folder).filter((name) => !/^containerd\.\d+\.stacks\.log$/.test(name))
    t.same(left.toSorted(), ['agent', 'pid'], 'no folder is left')
  })
}
