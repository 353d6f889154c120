import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { type Finished, runCommand } from '../command.ts'

/** The system's Python: the clients are packages of the system, which no other one finds. */
export const PYTHON = '/usr/bin/python3'

/** The program that plays a playbook. It needs a home folder of its own in `HOME`. */
export const ANSIBLE_PLAYBOOK = '/usr/bin/ansible-playbook'

/** A way to run a client, or the reason why there is none. */
export type Found = { readonly env: Readonly<Record<string, string>> } | { readonly missing: string }

/** Whether the system's Python finds a module, and in this version if one is given. */
export async function findModule(
  module: string,
  version: string | null = null,
  env: Readonly<Record<string, string>> = {},
): Promise<Found> {
  if (!existsSync(PYTHON)) return { missing: `there is no ${PYTHON}` }
  const program = `import ${module}; print(getattr(${module}, "__version__", ""))`
  const { code, out } = await runCommand(PYTHON, ['-c', program], { env })
  if (code !== 0) return { missing: `${PYTHON} has no module ${module}` }
  if (version !== null && out.trim() !== version) {
    return { missing: `the module ${module} of ${PYTHON} is ${out.trim()}, not ${version}` }
  }
  return { env }
}

/**
 * python3-consul2. Debian has it, but not beside python3-consul, whose module has the same name: it is downloaded and
 * unpacked into a folder that later runs find again.
 */
export async function findConsul2(): Promise<Found> {
  const installed = await findModule('consul', '0.1.5')
  if ('env' in installed) return installed
  const folder = join(tmpdir(), `constellation-test-packages-${userInfo().uid}`)
  const unpacked = join(folder, 'python3-consul2')
  if (!existsSync(unpacked)) {
    mkdirSync(folder, { recursive: true })
    const scratch = mkdtempSync(join(folder, 'unpacking-'))
    try {
      const problem = await unpack('python3-consul2', scratch)
      if (problem !== null) return { missing: problem }
      renameSync(join(scratch, 'files'), unpacked)
    } catch (error) {
      // Somebody else was faster.
      if (!existsSync(unpacked)) throw error
    } finally {
      rmSync(scratch, { recursive: true, force: true })
    }
  }
  return findModule('consul', '0.1.5', { PYTHONPATH: join(unpacked, 'usr/lib/python3/dist-packages') })
}

/** Puts the files of a package of Debian below `scratch/files`. Null, or why that could not be done. */
async function unpack(name: string, scratch: string): Promise<string | null> {
  const downloaded = await runCommand(
    'apt-get',
    ['-o', 'Acquire::Retries=3', '-o', 'Acquire::http::Timeout=5', 'download', name],
    { cwd: scratch },
  )
  const archive = readdirSync(scratch).find((file) => file.endsWith('.deb'))
  if (downloaded.code !== 0 || archive === undefined)
    return `apt-get cannot download ${name}: ${told(downloaded)}`
  const extracted = await runCommand('dpkg', ['-x', archive, 'files'], { cwd: scratch })
  return extracted.code === 0 ? null : `dpkg cannot unpack ${name}: ${told(extracted)}`
}

/** Whether Ansible is here with its modules for Consul. */
export async function findAnsible(): Promise<Found> {
  const module = await findModule('consul')
  if ('missing' in module) return module
  const collections = await findModule('ansible_collections.community.general')
  if ('missing' in collections) return collections
  return existsSync(ANSIBLE_PLAYBOOK) ? ANSIBLE : { missing: `there is no ${ANSIBLE_PLAYBOOK}` }
}

const ANSIBLE = {
  env: {
    // It refuses to run in a locale that is not UTF-8.
    LC_ALL: 'C.UTF-8',
    ANSIBLE_PIPELINING: '1',
    ANSIBLE_STDOUT_CALLBACK: 'ansible.posix.json',
    ANSIBLE_NOCOLOR: '1',
  },
}

function told({ err }: Finished): string {
  return err.trim().split('\n').at(-1) ?? ''
}
