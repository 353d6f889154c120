import { isIP } from 'node:net'
import type { Command } from 'commander'
import type { RecordType } from 'dns-packet'
import { addressToHex } from '../../../discovery/dns/address.ts'
import { reverseName } from '../../../discovery/dns/reverse.ts'
import { formatHostPort, parseHostPort } from '../../config/host-port.ts'
import type { HostPort } from '../../config/types.ts'
import { type ClientOptions, clientCommand, connect } from '../client-command.ts'
import { CliError } from '../errors.ts'
import type { CliIo } from '../io.ts'
import type { DnsReply } from '../resolve/dns-client.ts'
import { printable } from '../table.ts'

const SERVER = '127.0.0.1:8600'
const TIMEOUT_MS = 5_000
const TYPES: readonly string[] = ['A', 'AAAA', 'ANY', 'CNAME', 'MX', 'NS', 'PTR', 'SOA', 'SRV', 'TXT']

interface ResolveOptions extends ClientOptions {
  readonly server: string
  readonly tcp?: boolean
  readonly short?: boolean
}

/** `constellation resolve`: asks the DNS interface of an agent, and says why a name does not exist. */
export function resolveCommand(io: CliIo): Command {
  return clientCommand(
    'resolve',
    `Ask the DNS interface of an agent. A NAME without a dot is a service, an IP address is looked up in reverse. If nothing is found,
one line says why, and the exit code is 1.`,
    [
      'constellation resolve web',
      'constellation resolve web.service.constellation SRV',
      'constellation resolve web.service.n1.node.constellation --short',
      'constellation resolve n1.node.consul TXT --server 10.0.0.2:8600',
      'constellation resolve 10.0.0.1',
    ],
  )
    .argument('<name>', 'name to look up')
    .argument('[type]', `one of ${TYPES.join(', ')} (default: A, PTR for an IP address)`)
    .option('--server <host:port>', 'DNS server to ask', SERVER)
    .option('--tcp', 'ask over TCP at once')
    .option('--short', 'print the data of the answers only')
    .option('--json', 'print everything as JSON')
    .action(async (name: string, type: string | undefined, options: ResolveOptions) => {
      const server = serverOf(options.server)
      const question = { name: nameOf(name), type: typeOf(type, name) }
      const { askDns } = await import('../resolve/dns-client.ts')
      const { rcodeOf, reasonOf, renderReply, shown } = await import('../resolve/render.ts')
      const reply = await askDns({ server, ...question, tcp: options.tcp ?? false, timeoutMs: TIMEOUT_MS })
      const { message } = reply
      const answers = shown(message.answers)
      const found = rcodeOf(message) === 'NOERROR' && answers.length > 0
      const why = found ? null : await whyNot(reply, question, options, io)
      if (!found) io.exitCode = 1

      if (options.json === true) {
        const document = {
          server: formatHostPort(server),
          transport: reply.transport,
          ms: Number(reply.ms.toFixed(3)),
          rcode: rcodeOf(message),
          authoritative: message.flag_aa,
          truncated: message.flag_tc,
          question,
          answers,
          authorities: shown(message.authorities),
          additionals: shown(message.additionals),
          extendedError: reasonOf(message),
          explanation: why,
        }
        io.stdout.write(`${JSON.stringify(document, null, 2)}\n`)
        return
      }
      if (options.short === true) {
        for (const { data } of answers) io.stdout.write(`${printable(data)}\n`)
      } else io.stdout.write(renderReply(reply, formatHostPort(server)))
      if (why !== null) io.stderr.write(`constellation: ${printable(why)}\n`)
    })
}

/** One line: what the catalogue says, else what the server said. */
async function whyNot(
  { message }: DnsReply,
  { name, type }: { readonly name: string; readonly type: string },
  options: ResolveOptions,
  io: CliIo,
): Promise<string> {
  const { rcodeOf, reasonOf } = await import('../resolve/render.ts')
  const rcode = rcodeOf(message)
  const said = reasonOf(message)?.text ?? ''
  if (rcode === 'NOERROR') return `${name} exists, but has no ${type} record`
  if (rcode === 'REFUSED')
    return `${name} is not in a domain of the agent, and it asks nobody else (dns.recursors)`
  if (rcode !== 'NXDOMAIN') return `the answer is ${rcode}${said === '' ? '' : `: ${said}`}`
  const soa = message.authorities?.find((record) => record.type === 'SOA')
  const plain = said === '' ? `${name} does not exist` : said
  if (soa === undefined) return plain
  const { explainMissing } = await import('../resolve/explain.ts')
  try {
    return (await explainMissing(name, soa.name.toLowerCase(), await connect(options, io))) ?? plain
  } catch (error) {
    if (!(error instanceof CliError) || error.code === 'CLI_USAGE') throw error
    return `${plain} (why could not be asked: ${error.message})`
  }
}

function nameOf(text: string): string {
  const hex = isIP(text) === 0 ? null : addressToHex(text)
  if (hex !== null) return reverseName(hex)
  const name = text.replace(/\.$/, '')
  return name.includes('.') || name === 'consul' ? name : `${name}.service.consul`
}

function typeOf(text: string | undefined, name: string): RecordType {
  const type = (text ?? (isIP(name) === 0 ? 'A' : 'PTR')).toUpperCase()
  if (!TYPES.includes(type))
    throw new CliError(
      'CLI_USAGE',
      `${JSON.stringify(text)} is no type of record; allowed: ${TYPES.join(', ')}`,
    )
  // The types of the library leave out the one for all.
  return type as RecordType
}

function serverOf(text: string): HostPort {
  try {
    const server = parseHostPort(text)
    if (server.port === 0) throw new Error('has port 0')
    return server
  } catch (error) {
    throw new CliError(
      'CLI_USAGE',
      `--server: ${JSON.stringify(text)} ${(error as Error).message}; allowed: HOST:PORT`,
    )
  }
}
