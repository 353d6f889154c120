/** What a command of a health check looks at, if another host could look at it as well. */
export type OutsideCheck =
  | { readonly kind: 'http'; readonly scheme: 'http' | 'https'; readonly port: number; readonly path: string }
  | { readonly kind: 'tcp'; readonly port: number }

const LOCAL = String.raw`(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\])`
const URL_IN_COMMAND = new RegExp(
  String.raw`(https?)://${LOCAL}(?::(\d{1,5}))?(/[^\s"'|;&)]*)?(?=$|[\s"'|;&)])`,
)
const NETCAT = new RegExp(String.raw`\bnc\s+(?:-\S+\s+)*${LOCAL}\s+(\d{1,5})\b`)
/** Clients that ask their server whether it is there, and the port it has where they are not told. */
const CLIENTS: readonly (readonly [command: RegExp, port: number])[] = [
  [/\bpg_isready\b/, 5432],
  [/\b(?:mysqladmin|mariadb-admin)\b.*\bping\b/, 3306],
  [/\bredis-cli\b.*\bping\b/i, 6379],
]

/** Reads `healthcheck.test`: a curl or wget of this container, a netcat, or the client of a known server. Null for anything else. */
export function outsideCheck(test: readonly string[]): OutsideCheck | null {
  const command = test.slice(1).join(' ')
  if (/\b(curl|wget)\b/.test(command)) {
    const [found, scheme, digits, path] = URL_IN_COMMAND.exec(command) ?? []
    if (found === undefined) return null
    const port = digits === undefined ? (scheme === 'https' ? 443 : 80) : Number(digits)
    return { kind: 'http', scheme: scheme === 'https' ? 'https' : 'http', port, path: path ?? '/' }
  }
  const [, digits] = NETCAT.exec(command) ?? []
  if (digits !== undefined) return { kind: 'tcp', port: Number(digits) }
  const client = CLIENTS.find(([pattern]) => pattern.test(command))
  if (client === undefined) return null
  const [, told] = /(?:\s-p\s*|--port[= ])(\d{1,5})\b/.exec(command) ?? []
  return { kind: 'tcp', port: told === undefined ? client[1] : Number(told) }
}
