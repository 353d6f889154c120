import type { HttpContext } from './collaborators.ts'
import { refused } from './errors.ts'

/**
 * Waits until what was registered with this node is on disk, so that what a client was told to be registered is still so
 * after a crash. Throws 500 with a text for the operator if it cannot be kept.
 */
export async function keepRegistrations({ local, health, log }: HttpContext): Promise<void> {
  try {
    await Promise.all([local.flush(), health.flush()])
  } catch (error) {
    log.error({ err: error }, 'a registration could not be written to disk')
    throw refused(
      `it is in force, but it cannot be kept over a restart: ${(error as Error).message}; that is tried again`,
    )
  }
}
