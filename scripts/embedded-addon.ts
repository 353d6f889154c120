import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getRawAsset } from 'node:sea'

/** What loading an embedded addon needs from the process around it; the defaults are the real ones. */
export interface AddonHost {
  /** The bytes of an asset of the running executable. Throws if there is none of that name. */
  readonly readAsset: (name: string) => Uint8Array
  /** Folders to try in order. One that is missing, read-only, full or mounted noexec is passed over. */
  readonly folders: readonly string[]
  /** Maps the library at this path and returns what it exports. Throws if it cannot be mapped. */
  readonly open: (path: string) => unknown
}

/**
 * The folders a native library may be unpacked in. The system's own temporary folder is preferred; the state directory
 * that systemd hands over is there for hosts whose /tmp is mounted noexec, as hardening guides advise.
 */
export function addonFolders(env: NodeJS.ProcessEnv, temporary: string): string[] {
  const stateDirectories = (env.STATE_DIRECTORY ?? '').split(':')
  const wanted = [temporary, env.XDG_RUNTIME_DIR ?? '', ...stateDirectories, '/var/tmp', '/dev/shm']
  return [...new Set(wanted.filter((folder) => folder.startsWith('/')))]
}

/**
 * Loads a native addon that travels inside the single executable, and returns its exports. The dynamic loader only maps
 * files, so the bytes pass through one: it is made in a folder of mode 0700 with a random name, mapped, and removed
 * before this function returns. Nothing is ever reused, so nobody else's file can take its place and nothing is left
 * behind; the mapping outlives the name.
 * @throws Error naming every folder tried and why it failed.
 */
export function loadEmbeddedAddon(name: string, host: AddonHost = processHost()): unknown {
  const bytes = host.readAsset(name)
  const failures: string[] = []
  for (const parent of host.folders) {
    let folder: string | null = null
    try {
      folder = mkdtempSync(join(parent, 'constellation-'))
      const path = join(folder, name)
      writeFileSync(path, bytes, { mode: 0o600, flag: 'wx' })
      return host.open(path)
    } catch (error) {
      failures.push(`${parent}: ${error instanceof Error ? error.message : String(error)}`)
    } finally {
      if (folder !== null) rmSync(folder, { recursive: true, force: true })
    }
  }
  throw new Error(
    `cannot load the native library ${name}: no folder that is writable and mounted exec; set TMPDIR to one (${failures.join('; ')})`,
  )
}

function processHost(): AddonHost {
  return {
    readAsset: (name) => new Uint8Array(getRawAsset(name)),
    folders: addonFolders(process.env, tmpdir()),
    open: (path) => {
      const module: { exports: unknown } = { exports: {} }
      process.dlopen(module, path)
      return module.exports
    },
  }
}
