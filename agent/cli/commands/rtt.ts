import type { Command } from 'commander'
import { type Coordinate, distanceS } from '../../../discovery/membership/core/coordinate.ts'
import type { ApiClient } from '../api-client.ts'
import { type ClientOptions, clientCommand, connect, record, records } from '../client-command.ts'
import { CliError } from '../errors.ts'
import type { CliIo } from '../io.ts'
import { printable } from '../table.ts'

const MICROSECONDS = 1e6

/** `constellation rtt`: the estimated round trip between two members. */
export function rttCommand(io: CliIo): Command {
  return clientCommand(
    'rtt',
    'Estimate the network round trip between two members from their network coordinates. They need not have measured it.',
    ['constellation rtt n2           # from the agent that is asked', 'constellation rtt n1 n2 --json'],
  )
    .argument('<from>', 'name of a member')
    .argument('[to]', 'name of another (default: the agent that is asked)')
    .option('--json', 'print JSON')
    .action(async (from: string, to: string | undefined, options: ClientOptions) => {
      const api = await connect(options, io)
      const other = to ?? String(record(api.parse(await api.expect('/api/v1/status'))).node)
      const rttMs = await estimate(api, from, other)
      if (options.json === true) io.stdout.write(`${JSON.stringify({ from, to: other, rttMs })}\n`)
      else io.stdout.write(`${printable(from)} <-> ${printable(other)}: ${rttMs.toFixed(3)} ms (estimated)\n`)
    })
}

async function estimate(api: ApiClient, from: string, to: string): Promise<number> {
  const rows = records(api.parse(await api.expect('/v1/coordinate/nodes')))
  const places = new Map(rows.map(({ Node, Coord }) => [String(Node), coordinateOf(record(Coord))]))
  const placeOf = (name: string): Coordinate => {
    const place = places.get(name)
    if (place) return place
    throw new CliError('CLI_FAILED', `no network coordinate of ${JSON.stringify(name)} is known (yet)`)
  }
  const [a, b] = [placeOf(from), placeOf(to)]
  return from === to ? 0 : Math.round(distanceS(a, b) * MICROSECONDS) / 1000
}

function coordinateOf({
  Vec,
  Height,
  Adjustment,
  Error: error,
}: Readonly<Record<string, unknown>>): Coordinate {
  return {
    vec: Array.isArray(Vec) ? Vec.map(Number) : [],
    height: Number(Height),
    adjustment: Number(Adjustment),
    error: Number(error),
  }
}
