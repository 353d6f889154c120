import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Debian's busybox-static: the one program of the image. */
export const BUSYBOX = '/bin/busybox'

/** Writes the file system of an image, a web server that answers `ok`, as a tar file into the folder; answers its path. */
export function writeImage(folder: string): string {
  const root = join(folder, 'root')
  for (const path of ['bin', 'www', 'tmp']) mkdirSync(join(root, path), { recursive: true })
  copyFileSync(BUSYBOX, join(root, 'bin/busybox'))
  for (const name of ['sh', 'httpd', 'sleep', 'test', 'touch', 'rm'])
    symlinkSync('busybox', join(root, 'bin', name))
  writeFileSync(join(root, 'www/index.html'), 'ok\n')
  const file = join(folder, 'image.tar')
  const tar = spawnSync('tar', ['-C', root, '-cf', file, '.'], { encoding: 'utf8' })
  if (tar.status !== 0) throw new Error(`the image could not be made: ${tar.stderr}`)
  return file
}
