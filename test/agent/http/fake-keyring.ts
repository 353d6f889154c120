import { KeyringError, type KeyringErrorCode } from '../../../discovery/keyring/errors.ts'
import type { KeyringOrder, KeyringReport, KeyringResult, Keys } from '../../../discovery/keyring/types.ts'
import { keyFingerprint } from '../../../discovery/mesh/cluster-key.ts'

/** Keys that only record what they were asked. */
export class FakeKeyring implements Keys {
  readonly calls: string[] = []
  refusal: KeyringErrorCode | null = null
  missing: KeyringResult['missing'] = []

  async list(): Promise<KeyringReport> {
    return {
      primary: 'aaaaaaaaaaaaaaaa',
      keys: [
        { fingerprint: 'aaaaaaaaaaaaaaaa', nodes: 2, primaryOn: 2 },
        { fingerprint: 'bbbbbbbbbbbbbbbb', nodes: 1, primaryOn: 0 },
      ],
      nodes: [
        {
          id: 'peer-1',
          name: 'n1',
          status: 'alive',
          source: 'answered',
          keys: ['aaaaaaaaaaaaaaaa', 'bbbbbbbbbbbbbbbb'],
          problem: null,
        },
        {
          id: 'peer-2',
          name: 'n2',
          status: 'failed',
          source: 'announced',
          keys: ['aaaaaaaa'],
          problem: 'it has failed',
        },
      ],
    }
  }

  async install(key: Uint8Array, order: KeyringOrder = {}): Promise<KeyringResult> {
    return this.#done('install', keyFingerprint(key), order)
  }

  async use(fingerprint: string, order: KeyringOrder = {}): Promise<KeyringResult> {
    return this.#done('use', fingerprint, order)
  }

  async remove(fingerprint: string, order: KeyringOrder = {}): Promise<KeyringResult> {
    return this.#done('remove', fingerprint, order)
  }

  #done(what: string, fingerprint: string, { force = false }: KeyringOrder): KeyringResult {
    this.calls.push(`${what} ${fingerprint}${force ? ' by force' : ''}`)
    if (this.refusal !== null) throw new KeyringError(this.refusal, 'refused, says the fake')
    return { fingerprint, done: ['n1'], missing: this.missing }
  }
}
