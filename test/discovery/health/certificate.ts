import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** A key and a self-signed certificate for these names in this folder; null without openssl. */
export function certificate(
  folder: string,
  names = 'DNS:localhost,DNS:web.example',
): { key: Buffer; cert: Buffer } | null {
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1']
  const subject = ['-subj', '/CN=localhost', '-addext', `subjectAltName=${names}`]
  try {
    execFileSync('openssl', ['req', '-x509', ...kind, ...subject, '-keyout', key, '-out', cert], {
      stdio: 'ignore',
    })
  } catch {
    return null
  }
  return { key: readFileSync(key), cert: readFileSync(cert) }
}
